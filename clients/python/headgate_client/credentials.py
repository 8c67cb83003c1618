"""TLS from PEM files."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Final

import grpc

Pem = str | PathLike[str] | bytes
"""The path of a PEM file, or what would be in it."""

CERTIFICATE: Final = "certificate"
KEY: Final = "private key"

# gRPC reads up to the first NUL, and takes an authority of no bytes for none given: it trusts
# the authorities that it knows.
_BLOCK: Final = {
    kind: re.compile(rb"[^\0]*-----BEGIN (?:[A-Z0-9 ]+ )?%b-----[^\0]+-----END" % label)
    for kind, label in ((CERTIFICATE, b"CERTIFICATE"), (KEY, b"PRIVATE KEY"))
}


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
        ValueError: a certificate without its key, `ready` beside one of the others, or one that
            holds no PEM block.
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
    return grpc.ssl_channel_credentials(
        _argument("ca", ca, CERTIFICATE),
        _argument("key", key, KEY),
        _argument("cert", cert, CERTIFICATE),
    )


def read_pem(pem: Pem, kind: str, name: str) -> bytes:
    """The bytes of a PEM file, which holds a block of this kind: CERTIFICATE or KEY.

    Raises:
        ValueError: it holds none; `name` is what the message calls it.
        OSError: the file cannot be read.
    """
    data = pem if isinstance(pem, bytes) else Path(pem).read_bytes()
    if _BLOCK[kind].match(data) is None:
        raise ValueError(f"{name} holds no PEM {kind}")
    return data


def _argument(name: str, pem: Pem | None, kind: str) -> bytes | None:
    if pem is None:
        return None
    return read_pem(pem, kind, name if isinstance(pem, bytes) else f"{name} ({pem})")
