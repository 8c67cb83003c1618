"""A port that the supervisor holds for its workers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

from headgate.config import StartError, parse_address
from headgate.listen import cannot_listen, check_free

if TYPE_CHECKING:
    from types import TracebackType


class Port:
    """A socket that is bound and never listens, so that the kernel gives it no connection.

    Port 0 is chosen once for all workers, and one that takes another's place finds it free.

    Args:
        listen: HOST:PORT.

    Attributes:
        address: the same with the real port.

    Raises:
        StartError: the address cannot be had.
    """

    def __init__(self, listen: str) -> None:
        wanted = parse_address(listen)
        # Whoever shares the port is let in beside us, so a stranger has to be looked for.
        check_free(listen, wanted)
        try:
            found = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)
            self._socket = socket.socket(*found[0][:3])
        except OSError as error:
            raise StartError(cannot_listen(listen, error)) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.bind(found[0][4])
        except OSError as error:
            self._socket.close()
            raise StartError(cannot_listen(listen, error)) from error
        host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        self.address = f"{host}:{self._socket.getsockname()[1]}"

    def __repr__(self) -> str:
        return f"<Port {self.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
