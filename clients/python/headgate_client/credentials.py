"""TLS from PEM files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import grpc

Pem = str | PathLike[str] | bytes
"""The path of a PEM file, or what would be in it."""


def tls_credentials(
    ready: grpc.ChannelCredentials | None,
    *,
    ca: Pem | None,
    cert: Pem | None,
    key: Pem | None,
) -> grpc.ChannelCredentials | None:
    """Credentials for a channel, or None for plaintext when nothing is given.

    Args:
        ready: in place of the others.
        ca: the authorities to trust; None: those that gRPC knows.
        cert: the client's own certificate, and what is between it and its authority.
        key: the certificate's key.

    Raises:
        ValueError: a certificate without its key, or `ready` beside one of the others.
        OSError: a file cannot be read.
    """
    if ready is not None:
        if (ca, cert, key) != (None, None, None):
            raise ValueError("credentials take the place of ca, cert and key; leave those out")
        return ready
    if (cert is None) != (key is None):
        raise ValueError("cert and key go together; one of them is missing")
    if ca is None and cert is None:
        return None
    return grpc.ssl_channel_credentials(_read(ca), _read(key), _read(cert))


def _read(pem: Pem | None) -> bytes | None:
    if pem is None or isinstance(pem, bytes):
        return pem
    return Path(pem).read_bytes()
