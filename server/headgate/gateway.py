"""The composition root: the one place where faces, doors and upstream meet."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2_grpc

from headgate.backoff import Backoff
from headgate.budget import RetryBudget
from headgate.callers import CallersDoor
from headgate.config import StartError, parse_address
from headgate.grpc_face import ChatServicer, add_chat_service
from headgate.health import Health
from headgate.http_face import HttpFace, HttpOptions
from headgate.http_upstream import HttpUpstream
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.reflection import add_reflection
from headgate.retry import RetryDoor
from headgate.system_prompt import SystemPrompt
from headgate.throttle.door import ThrottleDoor
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.turnstile import Turnstile

if TYPE_CHECKING:
    from headgate.config import Address, Settings, ThrottleSettings
    from headgate.upstream import Upstream

# Streams on one connection; more wait in the client, where their deadlines still count.
MAX_CONCURRENT_STREAMS = 1024
# A queued call that fails before its client has seen GOAWAY comes back to this very server.
GOAWAY_HEAD_START = 0.05
LAST_WORDS = 2.0
FOREVER = 1e9


class Corridor:
    """The doors around an upstream, wired in one place.

    Attributes:
        entrance: the outermost door, which the faces open.
    """

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        retry, throttle = settings.retry, settings.throttle
        backoff = Backoff(
            initial=retry.initial_backoff,
            maximum=retry.max_backoff,
            multiplier=retry.backoff_multiplier,
        )
        self._turnstile = Turnstile(_throttle(throttle))
        # Read from the bottom: a call passes the last one first.
        door: Upstream = ThrottleDoor(
            upstream,
            self._turnstile,
            settings.callers,
            max_wait=throttle.max_wait,
            backoff=backoff,
        )
        door = RetryDoor(
            door,
            max_attempts=retry.max_attempts,
            backoff=backoff,
            budget=RetryBudget(retry.budget, retry.budget_floor),
            max_wait=throttle.max_wait,
        )
        self._callers = CallersDoor(door, settings.callers)
        self.entrance: Upstream = self._callers

    def drain(self, seconds: float) -> None:
        """Refuse who waits, but for those who were told so and start within `seconds`."""
        self._callers.drain(seconds)
        self._turnstile.drain(seconds)


def _throttle(settings: ThrottleSettings) -> Throttle:
    pace = Pace(
        rate=settings.rate,
        min_interval=settings.min_interval,
        burst=settings.burst,
        margin=settings.margin,
    )
    return Throttle(
        MemoryStore(pace),
        max_in_flight=settings.max_in_flight,
        max_queue=settings.max_queue,
        max_cooldown=settings.max_cooldown,
    )


class Gateway:
    """One running gateway.

    Args:
        settings: with `upstream.url` set.

    Attributes:
        grpc_address: where gRPC is served, once started; with the real port.
        http_address: where the HTTP face is served, or None.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._upstream = HttpUpstream(settings.upstream, settings.upstream.read_api_key())
        self._corridor = Corridor(settings, self._upstream)
        self._identity = Identity(settings.callers.trusted_peers)
        self._intake = make_intake(settings)
        self._health = Health()
        self._server = grpc.aio.server(options=_server_options(settings))
        self._chat = self._add_services()
        self._http = self._http_face() if settings.http_listen else None
        self.grpc_address = settings.listen
        self.http_address: str | None = None

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StartError: an address cannot be had.
        """
        self.grpc_address = _bind(self._server, self._settings.listen)
        await self._server.start()
        if self._http is not None and self._settings.http_listen is not None:
            try:
                self.http_address = await start_http(self._http, self._settings.http_listen)
            except StartError:
                await self._server.stop(None)
                raise
        self._health.serve()

    async def stop(self, grace: float) -> None:
        """Stop listening, let running calls finish within `grace` seconds, then close."""
        try:
            await self._drain(grace)
        finally:
            await self._upstream.aclose()

    async def _drain(self, grace: float) -> None:
        self._health.drain()
        if self._http is not None:
            self._http.drain()
        await asyncio.sleep(self._settings.server.drain_delay)
        # Our own cut, which says why, comes before gRPC's, which does not.
        stopping = asyncio.create_task(self._server.stop(min(grace, FOREVER) + LAST_WORDS))
        await asyncio.sleep(min(grace, GOAWAY_HEAD_START))
        self._corridor.drain(grace)
        stops = [stopping, self._chat.finish(grace)]
        if self._http is not None:
            stops.append(self._http.stop(grace))
        await asyncio.gather(*stops)

    def _add_services(self) -> ChatServicer:
        limits = self._settings.server
        chat = ChatServicer(
            self._corridor.entrance,
            self._intake,
            self._identity,
            default_deadline=limits.default_deadline,
            max_deadline=limits.max_deadline,
            write_stall_timeout=limits.write_stall_timeout,
        )
        add_chat_service(chat, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if limits.reflection:
            add_reflection(self._server)
        return chat

    def _http_face(self) -> HttpFace:
        settings = self._settings
        model = settings.upstream.model
        options = HttpOptions(
            cors_origins=tuple(settings.http.cors_origins),
            models=(model,) if model else (),
            max_body_bytes=_whole(settings.server.max_message_bytes),
            write_stall_timeout=settings.server.write_stall_timeout,
            default_deadline=settings.server.default_deadline,
            max_deadline=settings.server.max_deadline,
        )
        return HttpFace(
            self._corridor.entrance, self._intake, identify=self._identity.of, options=options
        )


def make_intake(settings: Settings) -> Intake:
    """The rules that both faces share, from the settings."""
    prompt = settings.system_prompt
    return Intake(
        SystemPrompt(prompt.read_text(), prompt.mode, allow_override=prompt.allow_override),
        settings.upstream.extra_allowed,
    )


async def start_http(face: HttpFace, listen: str) -> str:
    """Start the HTTP face.

    Raises:
        StartError: the address cannot be had.
    """
    try:
        return await face.start(listen)
    except OSError as error:
        raise StartError(_cannot_listen(listen, error)) from error


def _bind(server: grpc.aio.Server, listen: str) -> str:
    address = parse_address(listen)
    if address.path:
        return _bind_unix(server, listen, address)
    _check_free(listen, address)
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        port = server.add_insecure_port(f"{host}:{address.port}")
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: the address cannot be bound") from error
    return f"{host}:{port}"


def _bind_unix(server: grpc.aio.Server, listen: str, address: Address) -> str:
    """A socket that nobody serves any more is taken over; another file is not."""
    if Path(address.path).exists() and not _is_stale_socket(address.path):
        raise StartError(f"cannot listen on {listen}: {address.path} exists and is in use")
    try:
        Path(address.path).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(address.path)
        Path(address.path).unlink()
        server.add_insecure_port(listen)
    except OSError as error:
        raise StartError(_cannot_listen(listen, error)) from error
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: the path cannot be bound") from error
    return listen


def _is_stale_socket(path: str) -> bool:
    if not Path(path).is_socket():
        return False  # a connection to any other file is refused, too
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _check_free(listen: str, address: Address) -> None:
    """GRPC logs several lines of its own when a bind fails, so the reason is looked for first."""
    if address.port == 0:
        return
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise StartError(_cannot_listen(listen, error)) from error


def _cannot_listen(listen: str, error: OSError) -> str:
    return f"cannot listen on {listen}: {(error.strerror or str(error)).lower()}"


def _whole(limit: float) -> int:
    return int(min(limit, 2**40))


def _server_options(settings: Settings) -> list[tuple[str, int]]:
    size = settings.server.grpc_max_message_bytes
    return [
        # A second server on the port must be told, not silently given half of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        ("grpc.max_concurrent_streams", MAX_CONCURRENT_STREAMS),
        # Dead clients are found within 80 s, and clients may ping every 20 s themselves.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.enable_channelz", 0),
    ]
