"""Who is calling: one function for both faces.

What a peer says about itself is believed only when the peer is trusted (a sidecar, a gateway
before us); everybody else is known by address.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

CALLER_HEADER = "x-headgate-caller"
FORWARDED_HEADER = "x-forwarded-for"
LOCAL = "local"
MAX_NAME = 256
# Some proxies write the port, too: 203.0.113.9:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Identity:
    """Names callers.

    Args:
        trusted_peers: networks (CIDR) whose word is believed; `unix` stands for peers on a
            Unix socket.
    """

    def __init__(self, trusted_peers: Iterable[str] = ()) -> None:
        peers = list(trusted_peers)
        self._trust_local = "unix" in peers
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(peer, strict=False) for peer in peers if peer != "unix"
        ]

    def trusts(self, address: str | None) -> bool:
        """Whether the word of a peer at this IP address is believed; None: on a Unix socket."""
        return self._trusts(_parse(address))

    def forwarded(self, address: str | None, headers: Mapping[str, str]) -> str:
        """The address that a trusted peer speaks for, else its own, as a caller's identity.

        Args:
            address: the peer's, as for `trusts`.
            headers: request metadata with lower-case names.
        """
        return _name(self._forwarded(headers.get(FORWARDED_HEADER, "")) or _parse(address))

    def _trusts(self, ip: IPv4Address | IPv6Address | None) -> bool:
        if ip is None:
            return self._trust_local
        return any(ip in network for network in self._networks)

    def _forwarded(self, header: str) -> IPv4Address | IPv6Address | None:
        """The last address that no trusted peer has; what stands before it anybody may write."""
        found = None
        for part in reversed(header.split(",")):
            ip = _parse(part.strip())
            if ip is None:
                break
            found = ip
            if not self._trusts(ip):
                break
        return found


@lru_cache(maxsize=1024)
def address_name(address: str | None) -> str:
    """The identity of a caller that nothing is known of but its address.

    That is an IPv4 address, an IPv6 /64, or `local`.
    """
    return _name(_parse(address))


def stated_name(headers: Mapping[str, str]) -> str:
    """What the peer says that the caller is; empty for nothing. Only for trusted peers."""
    return headers.get(CALLER_HEADER, "").strip()[:MAX_NAME].rstrip()


@lru_cache(maxsize=1024)
def peer_address(peer: str) -> str | None:
    """The IP address in gRPC's name of a peer, such as `ipv6:%5B::1%5D:50123`; None for others."""
    scheme, _, rest = unquote(peer).partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return None
    return rest.rpartition(":")[0].strip("[]")


def _without_port(address: str) -> str:
    found = _WITH_PORT.fullmatch(address)
    return address if found is None else found[1] or found[2]


@lru_cache(maxsize=1024)
def _parse(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(_without_port(address or "").partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _name(ip: IPv4Address | IPv6Address | None) -> str:
    """One household has a whole /64 of IPv6 addresses, so that is what counts as one caller."""
    if ip is None:
        return LOCAL
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, 64), strict=False))
    return str(ip)
