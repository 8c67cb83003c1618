"""Peers that send what is no call, too much, too slowly, or without credentials.

Each of them hears no or is closed; nothing goes upstream, nothing is logged as an error, and a
good caller is served in their midst.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headgate.security.tokens import new_token
from support.certificates import Authority, Files
from support.raw_upstream import RawUpstream, says
from support.secure import bearer, called, calling, client_context, posted, running
from support.strangers import (
    OVER_GRPC,
    OVER_HTTP,
    Kind,
    Target,
    half_a_handshake,
    http_slow_body,
    http_slow_head,
    silence,
    slow_preface,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headgate.gateway import Gateway
    from support.strangers import Strike

BOTH = pytest.mark.parametrize("tls", [False, True], ids=["plain text", "TLS"])
QUICK = 0.3
"""A limit on slowness, in seconds."""


class Scene:
    """A gateway that asks for tokens, and where to strike it."""

    def __init__(
        self, gateway: Gateway, upstream: RawUpstream, token: str, authority: Authority | None
    ) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.token = token
        self.authority = authority

    def target(self, face: str, hold: float) -> Target:
        address = self.gateway.grpc_address if face == "grpc" else self.gateway.http_address
        assert address is not None
        tls = None
        if self.authority is not None:
            tls = ssl.create_default_context(cadata=self.authority.pem.decode())
            tls.set_alpn_protocols(["h2" if face == "grpc" else "http/1.1"])
        return Target(address, self.token, tls, hold)


@asynccontextmanager
async def scene(folder: Path, *, tls: bool, **sections: Any) -> AsyncIterator[Scene]:
    authority = Authority() if tls else None
    token, line = new_token("good")
    (folder / "tokens").write_text(f"{line}\n", encoding="utf-8")
    sections["auth"] = {"tokens_file": str(folder / "tokens"), "required": True}
    if authority is not None:
        sections["tls"] = Files(folder, authority.server()).settings()
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, **sections) as gateway,
    ):
        yield Scene(gateway, upstream, token, authority)


@BOTH
async def test_nobody_gets_through_and_good_callers_are_served(
    tls: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every kind at once, over both faces, with a good call over each in their midst."""
    async with scene(tmp_path, tls=tls) as scene_:
        strikes = [
            (kind, asyncio.create_task(kind.strike(scene_.target(face, hold=1.0))))
            for face, kinds in (("grpc", OVER_GRPC), ("http", OVER_HTTP))
            for kind in kinds
        ]
        context = client_context(tmp_path, scene_.authority) if tls else None
        async with calling(scene_.gateway, scene_.authority, token=scene_.token) as caller:
            good = await called(caller)
        over_http = await posted(scene_.gateway, bearer(scene_.token), tls=context)
        await asyncio.gather(*(task for _, task in strikes))

    assert [odd for kind, task in strikes if (odd := _odd(kind, task))] == []
    assert (good, over_http) == (("OK", ""), (200, ""))
    assert len(scene_.upstream.requests) == 2
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def _odd(kind: Kind, strike: asyncio.Task[str]) -> str:
    end = strike.result()
    return "" if end in kind.ends else f"{kind.strike.__name__}: {end}"


@BOTH
@pytest.mark.parametrize(
    ("face", "strike", "limit"),
    [
        ("grpc", half_a_handshake, "handshake_timeout"),
        ("grpc", silence, "handshake_timeout"),
        ("grpc", slow_preface, "handshake_timeout"),
        ("http", silence, "max_connection_idle"),
        ("http", http_slow_head, "max_connection_idle"),
        ("http", http_slow_body, "write_stall_timeout"),
    ],
)
async def test_the_slow_are_closed(
    face: str, strike: Strike, limit: str, tls: bool, tmp_path: Path
) -> None:
    """By the server's patience, and not by their own, which has long to go."""
    if tls and strike is silence:
        limit = "handshake_timeout"
    async with scene(tmp_path, tls=tls, server={limit: QUICK}) as scene_:
        assert await strike(scene_.target(face, hold=40.0)) == "closed"
