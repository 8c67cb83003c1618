"""gRPC's channelz: what each connection and each call is doing (gRFC A14), for grpcdebug and kin.

On an address of its own, because it tells who is connected, and asks nobody who they are.
"""

from __future__ import annotations

import grpc
from grpc_channelz.v1 import channelz


def channelz_server() -> grpc.aio.Server:
    """Not started, and without an address; it shows the servers that have it switched on."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.enable_channelz", 0)])
    channelz.add_channelz_servicer(server)
    return server
