"""The program headgate-chat: gRPC reads its environment when it is imported, and this is before."""

from __future__ import annotations

import os


def main() -> int:
    """Run headgate-chat without gRPC's own log, unless GRPC_VERBOSITY asks for it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from headgate_client.terminal import main as run  # noqa: PLC0415 - brings gRPC

    return run()
