"""The sandbox as a server: the HTTP face over the embedded model."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvloop

from headgate.callers import CallersDoor
from headgate.http_face import HttpFace, HttpOptions
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.listen import start_http
from headgate.logs import configure_logs
from headgate.sandbox.model import MODEL_NAME, SandboxModel
from headgate.security import Access
from headgate.signals import Signals, tell
from headgate.system_prompt import SystemPrompt

if TYPE_CHECKING:
    from headgate.config import Settings, UpstreamSettings

# The published API puts a prompt in by itself, so the sandbox has one when none is set.
SYSTEM_PROMPT = "You are the headgate sandbox: friendly, brief and honest about being no model."


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that serves.

    Attributes:
        url: where it serves, without a slash at the end.
    """

    url: str
    _face: HttpFace
    _door: CallersDoor

    def upstream(self, settings: Settings) -> UpstreamSettings:
        """The upstream settings of a gateway in front of this sandbox."""
        own = {"url": f"{self.url}/api", "model": settings.upstream.model or MODEL_NAME}
        return settings.upstream.model_copy(update=own)

    async def aclose(self, grace: float = 0.0) -> None:
        """Stop listening, let running calls finish within `grace` seconds, cut the rest."""
        self._door.drain(grace)
        await self._face.stop(grace)


async def start_sandbox(settings: Settings, listen: str) -> RunningSandbox:
    """Serve the published API at `HOST:PORT`.

    Args:
        settings: of which `callers`, `http`, `sandbox`, `server` and `system_prompt` are used.
        listen: port 0 takes any free one.

    Raises:
        StartError: the address cannot be had.
    """
    model = SandboxModel(token_interval=settings.sandbox.token_interval)
    door = CallersDoor(model, settings.callers)
    face = HttpFace(
        door,
        _intake(settings),
        access=Access(settings.callers, Identity(settings.callers.trusted_peers)),
        options=_options(settings),
    )
    address = await start_http(face, listen)
    return RunningSandbox(f"http://{_reachable(address)}", face, door)


def serve_sandbox(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends at once.

    Returns:
        The exit status.

    Raises:
        StartError: the address cannot be had.
    """
    configure_logs(settings.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    signals = Signals()
    sandbox = await start_sandbox(settings, settings.listen)
    tell(f"sandbox at {sandbox.url} (a page for browsers; the API is {sandbox.url}/api)")
    tell(f"limits: {limits_in_words(settings)}")
    await signals.first.wait()
    return await signals.unless_again(sandbox.aclose(settings.server.grace))


def page(settings: Settings) -> bytes:
    """The page of `GET /`, with the limits that really hold."""
    html = resources.files("headgate.sandbox").joinpath("page.html").read_text(encoding="utf-8")
    return html.replace("LIMITS_IN_WORDS", limits_in_words(settings)).encode()


def limits_in_words(settings: Settings) -> str:
    """What one address may do, such as `2 requests a second, at least 500 ms apart`."""
    limits = settings.callers
    words = []
    if limits.rate != math.inf:
        words.append(f"{limits.rate:g} requests a second")
    if limits.min_interval > 0:
        words.append(f"at least {limits.min_interval * 1000:g} ms apart")
    return ", ".join(words) or "as many requests as you like"


def _intake(settings: Settings) -> Intake:
    prompt = settings.system_prompt
    text = prompt.read_text() or SYSTEM_PROMPT
    return Intake(SystemPrompt(text, prompt.mode, allow_override=prompt.allow_override))


def _options(settings: Settings) -> HttpOptions:
    server = settings.server
    return HttpOptions(
        cors_origins=tuple(settings.http.cors_origins),
        models=(MODEL_NAME,),
        page=page(settings),
        max_body_bytes=server.http_max_message_bytes,
        write_stall_timeout=server.write_stall_timeout,
        default_deadline=server.default_deadline,
        max_deadline=server.max_deadline,
    )


def _reachable(address: str) -> str:
    """The address to go to: one that stands for all addresses is none that can be visited."""
    host, _, port = address.rpartition(":")
    if ip_address(host.strip("[]")).is_unspecified:
        host = "[::1]" if host.startswith("[") else "127.0.0.1"
    return f"{host}:{port}"
