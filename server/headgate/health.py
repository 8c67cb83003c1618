"""grpc.health.v1 of our own (the gRPC health checking protocol).

The stock servicer holds a lock while it writes, so one watcher that does not read blocks every
change, and it never ends a Watch, so a drain always takes the whole grace.
Here each watcher waits for the next change on its own, and all of them end at a stop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headgate.guard import PeerGone, guarded

if TYPE_CHECKING:
    from headgate.guard import Context

READINESS = ("", "headgate.v1.ChatService")
LIVENESS = "liveness"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """Readiness follows start-up and drain only; liveness never changes."""

    def __init__(self) -> None:
        self._ready = False
        self._closed = False
        self._changed = asyncio.Event()

    def serve(self) -> None:
        """The server is up."""
        self._ready = True
        self._announce()

    def drain(self) -> None:
        """NOT_SERVING from now on; the watchers are told."""
        self._ready = False
        self._announce()

    def close(self) -> None:
        """The watchers are ended.

        Not before the server has sent its GOAWAY: gRPC's own clients watch again at once.
        """
        self._closed = True
        self._announce()

    @guarded
    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status == SERVICE_UNKNOWN:
            known = ", ".join(repr(name) for name in (*READINESS, LIVENESS))
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}; known: {known}"
            )
        return health_pb2.HealthCheckResponse(status=status)

    @guarded
    async def List(  # noqa: N802 - the protocol's name
        self, request: Any, context: Context
    ) -> Any:
        del request, context
        statuses = {
            name: health_pb2.HealthCheckResponse(status=self._status(name))
            for name in (*READINESS, LIVENESS)
        }
        # The type stubs are older than List.
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]

    @guarded
    async def Watch(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        told: int | None = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != told:
                try:
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                except grpc.aio.InternalError as error:
                    raise PeerGone from error
                told = status
            if self._closed:
                return
            if changed is self._changed:
                await changed.wait()

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            return SERVING
        if service not in READINESS:
            return SERVICE_UNKNOWN
        return SERVING if self._ready else NOT_SERVING

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
