"""The other end of a connection, and the name that its certificate gives it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.identity import LOCAL, peer_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import grpc

MAX_NAME = 512
# SPIFFE-ID, sections 2.1 and 2.2: a trust domain, and a path without empty or dotted segments.
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)*")


class Peer(NamedTuple):
    """Who is at the other end, as the sockets tell it.

    Attributes:
        address: the IP address; None on a Unix socket.
        certificate: the name in the client certificate, which TLS has verified; empty for none.
    """

    address: str | None
    certificate: str = ""


class Rejected(Exception):
    """Credentials that do not hold; `why` is one of a few words, for the log and for counts."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def is_name(text: str) -> bool:
    """Whether a credential may call its holder so.

    Addresses are the names of those who have shown no credential, so no credential gives one.
    """
    if not 0 < len(text) <= MAX_NAME or not text.isprintable() or text != text.strip():
        return False
    if text == LOCAL:
        return False
    try:
        ip_network(text, strict=False)
    except ValueError:
        return True
    return False


def certificate_name(
    *, uris: Sequence[str], dns: Sequence[str], common_names: Sequence[str]
) -> str:
    """The SPIFFE ID, else the first DNS name, else the common name; empty for none of them.

    A certificate with a SPIFFE ID has that one URI and no other (X509-SVID, section 2), and
    nothing else in it can pass for one.
    """
    if len(uris) == 1 and len(uris[0]) <= MAX_NAME and _SPIFFE.fullmatch(uris[0]):
        return uris[0]
    for name in dns:
        if _plain(name):
            return name
    return common_names[0] if len(common_names) == 1 and _plain(common_names[0]) else ""


def _plain(name: str) -> bool:
    return is_name(name) and "://" not in name


def grpc_peer(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """The peer of a gRPC call."""
    certificate = grpc_certificate_name(context.auth_context())
    return Peer(peer_address(context.peer()), certificate)


def grpc_certificate_name(auth: Mapping[str, Iterable[bytes]]) -> str:
    """From what `ServicerContext.auth_context()` tells of the client's certificate."""
    uris, dns = auth.get("peer_uri", ()), auth.get("peer_dns", ())
    common_names = auth.get("x509_common_name", ())
    if not (uris or dns or common_names):
        return ""
    return certificate_name(uris=_texts(uris), dns=_texts(dns), common_names=_texts(common_names))


def _texts(values: Iterable[bytes]) -> list[str]:
    return [value.decode(errors="replace") for value in values]


def http_certificate_name(certificate: Mapping[str, Any] | None) -> str:
    """From what `ssl.SSLSocket.getpeercert()` tells of the client's certificate."""
    certificate = certificate or {}
    names = certificate.get("subjectAltName", ())
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return certificate_name(
        uris=[value for kind, value in names if kind == "URI"],
        dns=[value for kind, value in names if kind == "DNS"],
        common_names=[value for kind, value in subject if kind == "commonName"],
    )
