"""The composition root: the one place where faces, doors and upstream meet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import grpc
from grpc_health.v1 import health_pb2_grpc

from headgate.config import StartError
from headgate.corridor import Corridor
from headgate.grpc_face import ChatServicer, add_chat_service, add_unknown
from headgate.health import Health
from headgate.http_upstream import HttpUpstream
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.listen import bind, cannot_listen, start_http
from headgate.poller import patient_threads
from headgate.record import Record
from headgate.reflection import add_reflection
from headgate.security import Security
from headgate.shared_schedule import SharedSchedule, pace_of
from headgate.system_prompt import SystemPrompt
from headgate.telemetry.quiet import Quiet
from headgate.telemetry.store import StoreWatch
from headgate.throttle.store import MemoryStore

if TYPE_CHECKING:
    from headgate.config import Settings, ThrottleSettings
    from headgate.http_face import HttpFace
    from headgate.telemetry.page import MetricsPage
    from headgate.throttle.ledger import Ledger

# A queued call that fails before its client has seen GOAWAY comes back to this very server.
GOAWAY_HEAD_START = 0.05
LAST_WORDS = 2.0
# For clients to see GOAWAY, and to send no call on a connection that is about to be closed.
BYSTANDERS = 0.5
FOREVER = 1e9


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
        channelz_address: where channelz is served, or None.
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
        self.telemetry = _telemetry(settings)
        upstream = settings.upstream
        self._record = Record(settings, self.telemetry)
        self._upstream = HttpUpstream(upstream, upstream.read_api_key(), self._record.hear)
        self._schedule = SharedSchedule.of(settings, ledger)
        store = _watched(self._schedule, settings.throttle)
        self._corridor = Corridor(settings, self._upstream, store, self.telemetry)
        self.security = Security(settings)
        self._intake = Intake(*_rules(settings))
        self._health = Health()
        with patient_threads():
            self._server = grpc.aio.server(options=_server_options(settings, shared=shared_port))
        self._chat = self._add_services()
        self._probes: grpc.aio.Server | None = None
        self._http = self._http_face() if settings.http_listen else None
        self.grpc_address = settings.listen
        self.http_address: str | None = None
        self._page: MetricsPage | None = None
        self.health_address: str | None = None
        self.metrics_address: str | None = None
        self._channelz: grpc.aio.Server | None = None
        self.channelz_address: str | None = None

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StartError: an address cannot be had, or the store that is required.
        """
        try:
            if self._schedule is not None:
                await self._schedule.start(self._corridor.turn)
            await self.security.start()
            await self._listen()
        except (StartError, asyncio.CancelledError):
            await self._server.stop(None)
            if self._http is not None:
                await self._http.stop(0)
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
        if self._http is not None and http_listen is not None:
            context = certificate.http_context() if certificate else None
            self.http_address = await start_http(
                self._http, http_listen, shared=shared, tls=context
            )
        await self._answer_probes()
        await self._show_metrics()
        if self._settings.server.channelz_listen is not None:
            from headgate.channelz import channelz_server  # noqa: PLC0415 - few need it

            self._channelz = channelz_server()
            self.channelz_address = bind(self._channelz, self._settings.server.channelz_listen)
            await self._channelz.start()

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
        from headgate.telemetry.page import MetricsPage  # noqa: PLC0415 - 3 MiB, with aiohttp's server

        self._page = MetricsPage.of(self.telemetry)
        try:
            self.metrics_address = await self._page.start(listen)
        except OSError as error:
            self._page = None
            raise StartError(cannot_listen(listen, error)) from error

    @property
    def settings(self) -> Settings:
        """As they hold now."""
        return self._settings

    def running(self) -> int:
        """Calls at this moment."""
        return len(self._chat.calls) + (len(self._http.calls) if self._http else 0)

    @property
    def time_to_stop(self) -> float:
        """Seconds that `stop` with the configured grace may take."""
        server = self._settings.server
        return server.drain_delay + server.grace + 2 * LAST_WORDS

    async def renew(self, settings: Settings) -> None:
        """As `change`, and `refresh`."""
        self.change(settings)
        await self.refresh()

    async def refresh(self) -> None:
        """Read the files of `tls` and `auth` now, if they are new."""
        for _ in range(2):  # they count from the second look on that finds them the same
            await self.security.look()

    def change(self, settings: Settings) -> None:
        """Go on with other settings; running and queued calls stay.

        Args:
            settings: as `config.renewed` makes them: what cannot change live is as it was, and
                nothing has to be read from a file any more.
        """
        upstream, callers = settings.upstream, settings.callers
        self._settings = settings
        self._upstream.change(upstream, upstream.read_api_key())
        if self._schedule is not None:
            self._schedule.change(settings.throttle)
        self._corridor.change(settings)
        self._intake.change(*_rules(settings))
        self._record.change(settings)
        self.security.access.change(callers, Identity(callers.trusted_peers))

    async def stop(self, grace: float) -> None:
        """Stop listening, let running calls finish within `grace` seconds, then close."""
        try:
            await self._drain(grace)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._probes is not None:
            await self._probes.stop(None)
        if self._channelz is not None:
            await self._channelz.stop(None)
        await self.security.aclose()
        await self._corridor.aclose()
        if self._schedule is not None:
            await self._schedule.aclose()
        await self._upstream.aclose()
        self.telemetry.close()
        await self._record.aclose()
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
        self._health.close()
        self._corridor.drain(grace)
        stops = [self._chat.finish(grace)]
        if self._http is not None:
            stops.append(self._http.stop(grace))
        await asyncio.gather(asyncio.sleep(BYSTANDERS), *stops)
        # Who is left is no call: a watcher, say, or a peer that does not read our GOAWAY.
        await self._server.stop(None)
        await stopping

    def _add_services(self) -> ChatServicer:
        limits = self._settings.server
        chat = ChatServicer(
            self._record.entrance(self._corridor.entrance),
            self._intake,
            self.security.access,
            default_deadline=limits.default_deadline,
            max_deadline=limits.max_deadline,
            write_stall_timeout=limits.write_stall_timeout,
            watch=self._record.watch,
        )
        add_chat_service(chat, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if limits.reflection:
            add_reflection(self._server, self.security.access)
        add_unknown(self._server, self._record.unknown)
        return chat

    def _http_face(self) -> HttpFace:
        from headgate.http_face import HttpFace, HttpOptions  # noqa: PLC0415 - 3 MiB, as above

        settings = self._settings
        model = settings.upstream.model
        options = HttpOptions(
            cors_origins=tuple(settings.http.cors_origins),
            models=(model,) if model else (),
            max_body_bytes=settings.server.http_max_message_bytes,
            write_stall_timeout=settings.server.write_stall_timeout,
            default_deadline=settings.server.default_deadline,
            max_deadline=settings.server.max_deadline,
            handshake_timeout=min(settings.server.handshake_timeout, FOREVER),
            max_idle=settings.server.max_connection_idle,
        )
        return HttpFace(
            self._record.entrance(self._corridor.entrance),
            self._intake,
            access=self.security.access,
            options=options,
            watch=self._record.watch,
            unknown=self._record.unknown,
        )


def _telemetry(settings: Settings) -> Quiet:
    if settings.metrics.listen is None:
        return Quiet()
    from headgate.telemetry.telemetry import Telemetry  # noqa: PLC0415 - 1 MiB with its library

    return Telemetry(settings.callers.overrides)


def _watched(schedule: SharedSchedule | None, settings: ThrottleSettings) -> StoreWatch:
    """Where the schedule is: shared with others, or in the memory of this process."""
    if schedule is None:
        return StoreWatch("memory", MemoryStore(pace_of(settings)))
    kind: Literal["redis", "supervisor"] = "redis" if settings.shared else "supervisor"
    return StoreWatch(kind, schedule.store, schedule.courier)


def _rules(settings: Settings) -> tuple[SystemPrompt, list[str]]:
    """What both faces ask of requests."""
    prompt = settings.system_prompt
    text = SystemPrompt(prompt.read_text(), prompt.mode, allow_override=prompt.allow_override)
    return text, settings.upstream.extra_allowed


def _milliseconds(seconds: float) -> int:
    return int(min(seconds * 1000, 2**31 - 1))  # gRPC's word for no limit


def _server_options(settings: Settings, *, shared: bool) -> list[tuple[str, int]]:
    limits = settings.server
    return [
        # A second server on the port must be told, not silently given half of the connections.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", limits.grpc_max_message_bytes),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.max_connection_idle)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.max_connection_age_grace)),
        # Dead clients are found within 80 s. Clients may ping every 5 s themselves: a proxy that
        # does finds within seconds that this process hangs.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout)),
        ("grpc.enable_channelz", int(limits.channelz_listen is not None)),
    ]
