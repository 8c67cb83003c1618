r"""`x-forwarded-client-cert`: the certificates that proxies have seen (Envoy's XFCC header).

Elements are separated by commas, the newest last; pairs within by semicolons. A value that holds
a separator stands in double quotes, with `\"` for a quote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from headgate.security.peer import certificate_name

if TYPE_CHECKING:
    from collections.abc import Collection

CERTIFICATE_HEADER = "x-forwarded-client-cert"
# Unquoted values hold no quote and no backslash: text that somebody put in front could otherwise
# open a quote that swallows what the proxy appended.
_PAIR = re.compile(r'\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\\]*))([;,]|$)')


class Element(NamedTuple):
    """What one proxy wrote of the client in front of it."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    subject: str = ""

    @property
    def name(self) -> str:
        """See `certificate_name`."""
        return certificate_name(
            uris=self.uris, dns=self.dns, common_names=_common_names(self.subject)
        )


def elements(header: str) -> list[Element]:
    """All elements, in the order of the header.

    Raises:
        ValueError: it is not written as Envoy writes it.
    """
    found: list[Element] = []
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(header):
        pair = _PAIR.match(header, at)
        if pair is None:
            raise ValueError("not an x-forwarded-client-cert header")
        key, quoted, bare, end = pair.groups()
        # Backslashes stay: a subject has its own, which say what is a separator in it.
        pairs.append((key.lower(), bare.strip() if quoted is None else quoted))
        at = pair.end()
        if end != ";":
            found.append(_element(pairs))
            pairs = []
        if end and at == len(header):
            raise ValueError("not an x-forwarded-client-cert header")
    return found


def _element(pairs: list[tuple[str, str]]) -> Element:
    def values(key: str) -> tuple[str, ...]:
        return tuple(value for name, value in pairs if name == key and value)

    return Element(values("uri"), values("dns"), next(iter(values("subject")), ""))


def forwarded_name(header: str, trusted: Collection[str]) -> str:
    """The last name that no trusted peer has; what stands before it anybody may have written.

    Args:
        header: from a peer that is trusted itself.
        trusted: names of peers that speak for others.

    Raises:
        ValueError: the header is not written as Envoy writes it.
    """
    name = ""
    for element in reversed(elements(header)):
        name = element.name
        if name not in trusted:
            break
    return name


def _common_names(subject: str) -> list[str]:
    """Of a distinguished name as RFC 4514 writes it."""
    from cryptography import x509  # noqa: PLC0415 - 8 MiB, for whom a proxy sends names
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - as above

    try:
        name = x509.Name.from_rfc4514_string(subject)
    except ValueError:
        return []
    return [str(found.value) for found in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
