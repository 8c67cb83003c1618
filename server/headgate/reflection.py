"""gRPC reflection, so that grpcurl and its kin work without the proto file.

There are two names for one protocol: `v1` and the older `v1alpha` have the same messages, byte
for byte. grpcio-reflection knows the older one only, so both names are served with its messages.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import _async, reflection, reflection_pb2

from headgate.guard import Context, PeerGone, guarded
from headgate.security.peer import grpc_peer
from headgate.v1 import chat_pb2

if TYPE_CHECKING:
    from headgate.security import Access

SERVICES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


class Reflection:
    """The stock servicer, for callers who may use it."""

    def __init__(self, names: tuple[str, ...], access: Access) -> None:
        self._stock: Any = _async.ReflectionServicer(names)
        self._access = access

    @guarded
    async def ServerReflectionInfo(  # noqa: N802 - the protocol's name
        self, requests: Any, context: Context
    ) -> None:
        metadata: Any = context.invocation_metadata() or ()
        caller = await self._access.authenticate(grpc_peer(context), dict(metadata))
        self._access.authorize(caller, "Reflection")
        async with aclosing(self._stock.ServerReflectionInfo(requests, context)) as answers:
            async for answer in answers:
                await _write(context, answer)


async def _write(context: Context, answer: Any) -> None:
    try:
        await context.write(answer)
    except grpc.aio.InternalError as error:
        raise PeerGone from error


def add_reflection(server: grpc.aio.Server, access: Access) -> None:
    """Serve the descriptors of every service of this server."""
    names = (
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )
    servicer = Reflection(names, access)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for service in SERVICES:
        handlers = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
