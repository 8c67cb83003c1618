"""A running HTTP face with a client in front of it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from headgate.config import CallersSettings
from headgate.http_face.face import HttpFace
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.security import Access
from headgate.system_prompt import SystemPrompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headgate.http_face.options import HttpOptions
    from headgate.upstream import Upstream

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello!"}]}


def open_to_all(*trusted_peers: str) -> Access:
    """Everybody may come in, and is known by address."""
    return Access(CallersSettings(), Identity(trusted_peers))


@asynccontextmanager
async def running(
    upstream: Upstream,
    options: HttpOptions | None = None,
    *,
    extra_allowed: tuple[str, ...] = (),
    access: Access | None = None,
) -> AsyncIterator[tuple[HttpFace, aiohttp.ClientSession]]:
    """The face on a free port, and a client whose paths lead to it."""
    intake = Intake(SystemPrompt("", "none", allow_override=True), extra_allowed)
    access = access or open_to_all()
    face = HttpFace(upstream, intake, access=access, options=options, jitter=lambda: 0.0)
    address = await face.start("127.0.0.1:0")
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield face, client
    finally:
        await face.stop(0)


def events_in(text: str) -> list[tuple[str, Any]]:
    """The events of an SSE body: type and decoded data, `[DONE]` as it stands."""
    events = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields["data"]
        decoded = data if data == "[DONE]" else json.loads(data)
        events.append((fields.get("event", "message"), decoded))
    return events


def text_in(events: list[tuple[str, Any]]) -> str:
    """What an assistant said in these events, of all choices."""
    return "".join(
        choice["delta"].get("content", "")
        for kind, data in events
        if kind == "message" and data != "[DONE]"
        for choice in data["choices"]
    )
