"""gRPC reflection, so that grpcurl and its kin work without the proto file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from headgate.v1 import chat_pb2

if TYPE_CHECKING:
    import grpc


def add_reflection(server: grpc.aio.Server) -> None:
    """Serve the descriptors of every service of this server."""
    names = (
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )
    reflection.enable_server_reflection(names, server)
