"""gRPC reflection, so that grpcurl and its kin work without the proto file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import _async, reflection, reflection_pb2_grpc

from headgate.errors import HeadgateError
from headgate.guard import Context, abort
from headgate.security.peer import grpc_peer
from headgate.v1 import chat_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from headgate.security import Access


class Reflection:
    """The stock servicer, for callers who may use it."""

    def __init__(self, names: tuple[str, ...], access: Access) -> None:
        self._stock: Any = _async.ReflectionServicer(names)
        self._access = access

    async def ServerReflectionInfo(  # noqa: N802 - the protocol's name
        self, requests: Any, context: Context
    ) -> AsyncIterator[Any]:
        metadata: Any = context.invocation_metadata() or ()
        try:
            caller = await self._access.authenticate(grpc_peer(context), dict(metadata))
            self._access.authorize(caller, "Reflection")
        except HeadgateError as error:
            await abort(context, error)
        async for answer in self._stock.ServerReflectionInfo(requests, context):
            yield answer


def add_reflection(server: grpc.aio.Server, access: Access) -> None:
    """Serve the descriptors of every service of this server."""
    names = (
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(Reflection(names, access), server)
