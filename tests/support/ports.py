"""TCP ports of this machine: free ones for servers, closed ones for who must find nobody."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from random import SystemRandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = range(15_000, 32_000)
"""None that systems give to whoever asks for any, or to outgoing connections."""

_given: set[int] = set()


def free_port() -> int:
    """A port at which nobody listens now, and that is given once only.

    So it stays free while a server that has it is stopped.

    Raises:
        OSError: there is none.
    """
    for port in SystemRandom().sample(PORTS, k=len(PORTS)):
        if port not in _given:
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop - 1} is free")


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else comes to listen at it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port
