"""The composition root: the one place where faces, doors and upstream meet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import grpc
from grpc_health.v1 import health_pb2_grpc

from headgate.backoff import Backoff
from headgate.budget import RetryBudget
from headgate.callers import CallersDoor
from headgate.config import StartError
from headgate.grpc_face import ChatServicer, add_chat_service
from headgate.health import Health
from headgate.http_face import HttpFace, HttpOptions
from headgate.http_upstream import HttpUpstream
from headgate.intake import Intake
from headgate.join.door import JoinDoor
from headgate.listen import bind, cannot_listen, start_http
from headgate.reflection import add_reflection
from headgate.retry import RetryDoor
from headgate.security import Security
from headgate.shared_schedule import SharedSchedule, pace_of
from headgate.system_prompt import SystemPrompt
from headgate.telemetry.house import Limits
from headgate.telemetry.page import MetricsPage
from headgate.telemetry.store import StoreWatch
from headgate.telemetry.telemetry import Quiet, Telemetry
from headgate.throttle.door import ThrottleDoor
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings, ThrottleSettings
    from headgate.throttle.ledger import Ledger
    from headgate.throttle.store import Store
    from headgate.upstream import Upstream

# A queued call that fails before its client has seen GOAWAY comes back to this very server.
GOAWAY_HEAD_START = 0.05
LAST_WORDS = 2.0
FOREVER = 1e9


class Corridor:
    """The doors around an upstream, wired in one place.

    Attributes:
        entrance: the outermost door, which the faces open.
    """

    def __init__(
        self, settings: Settings, upstream: Upstream, store: StoreWatch, telemetry: Quiet
    ) -> None:
        retry, throttle = settings.retry, settings.throttle
        backoff = Backoff(
            initial=retry.initial_backoff,
            maximum=retry.max_backoff,
            multiplier=retry.backoff_multiplier,
        )
        self._turnstile = telemetry.turnstile(_throttle(throttle, store.store))
        budget = RetryBudget(retry.budget, retry.budget_floor)
        telemetry.look_at(budget, store, Limits(throttle.max_in_flight, throttle.max_queue))
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
            budget=budget,
            max_wait=throttle.max_wait,
        )
        self._callers = CallersDoor(door, settings.callers)
        self._joins = JoinDoor(telemetry.behind_keys(self._callers), settings.idempotency)
        self.entrance: Upstream = self._joins

    @property
    def turn(self) -> Callable[[], None]:
        """Lets the throttle do what has become due."""
        return self._turnstile.turn

    def drain(self, seconds: float) -> None:
        """Refuse who waits, but for those who were told so and start within `seconds`."""
        self._joins.drain()
        self._callers.drain(seconds)
        self._turnstile.drain(seconds)

    async def aclose(self) -> None:
        """End the joined calls, which run in tasks of their own."""
        await self._joins.aclose()


def _throttle(settings: ThrottleSettings, store: Store) -> Throttle:
    return Throttle(
        store,
        max_in_flight=settings.max_in_flight,
        max_queue=settings.max_queue,
        max_cooldown=settings.max_cooldown,
    )


class Gateway:
    """One running gateway.

    Args:
        settings: with `upstream.url` set.
        ledger: the schedule that this process shares with others; None: as the settings say.
        shared_port: whether others listen on the same port (SO_REUSEPORT).

    Attributes:
        grpc_address: where gRPC is served, once started; with the real port.
        http_address: where the HTTP face is served, or None.
        health_address: where health checks alone are served, or None.
        metrics_address: where metrics and the page of state are served, or None.
        telemetry: what is counted, if anything is.
        security: the certificate, and who may come in.

    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(
        self, settings: Settings, *, ledger: Ledger | None = None, shared_port: bool = False
    ) -> None:
        self._settings = settings
        self._shared_port = shared_port
        named = settings.callers.overrides
        self.telemetry = Telemetry(named) if settings.metrics.listen else Quiet()
        upstream = settings.upstream
        self._upstream = HttpUpstream(upstream, upstream.read_api_key(), self.telemetry.hear)
        self._schedule = SharedSchedule.of(settings, ledger)
        store = _watched(self._schedule, settings.throttle)
        self._corridor = Corridor(settings, self._upstream, store, self.telemetry)
        self.security = Security(settings)
        self._intake = make_intake(settings)
        self._health = Health()
        self._server = grpc.aio.server(options=_server_options(settings, shared=shared_port))
        self._chat = self._add_services()
        self._probes: grpc.aio.Server | None = None
        self._http = self._http_face() if settings.http_listen else None
        self.grpc_address = settings.listen
        self.http_address: str | None = None
        self._page: MetricsPage | None = None
        self.health_address: str | None = None
        self.metrics_address: str | None = None

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StartError: an address cannot be had, or the store that is required.
        """
        if self._schedule is not None:
            await self._schedule.start(self._corridor.turn)
        try:
            await self.security.start()
            await self._listen()
        except StartError:
            await self._leave()
            raise
        self._health.serve()
        self.telemetry.start()

    async def _listen(self) -> None:
        listen, http_listen = self._settings.listen, self._settings.http_listen
        certificate, shared = self.security.certificate, self._shared_port
        tls = certificate.grpc_credentials() if certificate else None
        self.grpc_address = bind(self._server, listen, shared=shared, tls=tls)
        await self._server.start()
        try:
            if self._http is not None and http_listen is not None:
                context = certificate.http_context() if certificate else None
                self.http_address = await start_http(
                    self._http, http_listen, shared=shared, tls=context
                )
            await self._answer_probes()
            await self._show_metrics()
        except StartError:
            await self._server.stop(None)
            if self._http is not None:
                await self._http.stop(0)
            raise

    async def _answer_probes(self) -> None:
        """Health checks alone, in plain text."""
        listen = self._settings.server.health_listen
        if listen is None:
            return
        options = _server_options(self._settings, shared=self._shared_port)
        self._probes = grpc.aio.server(options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
        self.health_address = bind(self._probes, listen, shared=self._shared_port)
        await self._probes.start()

    async def _show_metrics(self) -> None:
        """Who shares the port is one of several, and their supervisor shows the metrics of all."""
        listen = self._settings.metrics.listen
        if listen is None or self._shared_port:
            return
        self._page = MetricsPage.of(self.telemetry)
        try:
            self.metrics_address = await self._page.start(listen)
        except OSError as error:
            self._page = None
            raise StartError(cannot_listen(listen, error)) from error

    async def stop(self, grace: float) -> None:
        """Stop listening, let running calls finish within `grace` seconds, then close."""
        try:
            await self._drain(grace)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._probes is not None:
            await self._probes.stop(None)
        await self.security.aclose()
        await self._corridor.aclose()
        if self._schedule is not None:
            await self._schedule.aclose()
        await self._upstream.aclose()
        self.telemetry.close()
        if self._page is not None:
            await self._page.aclose()

    async def _drain(self, grace: float) -> None:
        self._health.drain()
        self.telemetry.drain()
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
            self.security.access,
            default_deadline=limits.default_deadline,
            max_deadline=limits.max_deadline,
            write_stall_timeout=limits.write_stall_timeout,
            watch=self.telemetry.watch,
        )
        add_chat_service(chat, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if limits.reflection:
            add_reflection(self._server, self.security.access)
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
            handshake_timeout=min(settings.server.handshake_timeout, FOREVER),
            max_idle=settings.server.max_connection_idle,
        )
        return HttpFace(
            self._corridor.entrance,
            self._intake,
            access=self.security.access,
            options=options,
            watch=self.telemetry.watch,
        )


def _watched(schedule: SharedSchedule | None, settings: ThrottleSettings) -> StoreWatch:
    """Where the schedule is: shared with others, or in the memory of this process."""
    if schedule is None:
        return StoreWatch("memory", MemoryStore(pace_of(settings)))
    kind: Literal["redis", "supervisor"] = "redis" if settings.shared else "supervisor"
    return StoreWatch(kind, schedule.store, schedule.courier)


def make_intake(settings: Settings) -> Intake:
    """The rules that both faces share, from the settings."""
    prompt = settings.system_prompt
    return Intake(
        SystemPrompt(prompt.read_text(), prompt.mode, allow_override=prompt.allow_override),
        settings.upstream.extra_allowed,
    )


def _whole(limit: float) -> int:
    return int(min(limit, 2**40))


def _milliseconds(seconds: float) -> int:
    return int(min(seconds * 1000, 2**31 - 1))  # gRPC's word for no limit


def _server_options(settings: Settings, *, shared: bool) -> list[tuple[str, int]]:
    limits = settings.server
    size = limits.grpc_max_message_bytes
    return [
        # A second server on the port must be told, not silently given half of the connections.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.max_connection_idle)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.max_connection_age_grace)),
        # Dead clients are found within 80 s, and clients may ping every 20 s themselves.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout)),
        ("grpc.enable_channelz", 0),
    ]
