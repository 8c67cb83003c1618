"""Where the faces listen, and what is said when an address cannot be had."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.config import StartError, parse_address

if TYPE_CHECKING:
    import ssl

    import grpc

    from headgate.config import Address
    from headgate.http_face import HttpFace


async def start_http(
    face: HttpFace, listen: str, *, shared: bool = False, tls: ssl.SSLContext | None = None
) -> str:
    """Start the HTTP face; `shared`: others listen on the same port.

    Raises:
        StartError: the address cannot be had.
    """
    try:
        return await face.start(listen, shared=shared, tls=tls)
    except OSError as error:
        raise StartError(cannot_listen(listen, error)) from error


def bind(
    server: grpc.aio.Server,
    listen: str,
    *,
    shared: bool = False,
    tls: grpc.ServerCredentials | None = None,
) -> str:
    """Give the server its address, before it starts; the real port is in what comes back.

    Args:
        server: not started yet.
        listen: HOST:PORT or unix:PATH.
        shared: others listen on the same port.
        tls: None for plain text, which a Unix socket has in any case.

    Raises:
        StartError: the address cannot be had.
    """
    address = parse_address(listen)
    if address.path:
        return _bind_unix(server, listen, address)
    if not shared:
        check_free(listen, address)
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        where = f"{host}:{address.port}"
        port = server.add_secure_port(where, tls) if tls else server.add_insecure_port(where)
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: the address cannot be bound") from error
    return f"{host}:{port}"


def _bind_unix(server: grpc.aio.Server, listen: str, address: Address) -> str:
    """A socket that nobody serves any more is taken over; another file is not."""
    path = Path(address.path)
    if path.exists() and not path.is_socket():  # a connection to it would be refused, too
        raise StartError(f"cannot listen on {listen}: {path} exists and is no socket")
    if path.exists() and not _is_stale(address.path):
        raise StartError(f"cannot listen on {listen}: {path} is in use")
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(address.path)
        path.unlink()
        server.add_insecure_port(listen)
    except OSError as error:
        raise StartError(cannot_listen(listen, error)) from error
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: the path cannot be bound") from error
    return listen


def _is_stale(path: str) -> bool:
    """Whether nobody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def check_free(listen: str, address: Address) -> None:
    """GRPC logs several lines of its own when a bind fails, so the reason is looked for first.

    Raises:
        StartError: somebody listens there, or the address is none of this machine.
    """
    if address.port == 0:
        return
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise StartError(cannot_listen(listen, error)) from error


def cannot_listen(listen: str, error: OSError) -> str:
    """The one line about an address that cannot be had."""
    words = error.strerror or str(error)
    if error.errno and not isinstance(error, socket.gaierror):
        # asyncio puts a sentence of its own where the system's words should be.
        words = os.strerror(error.errno)
    return f"cannot listen on {listen}: {words.lower()}"
