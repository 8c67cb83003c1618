"""Who calls over HTTP: what the connection and the headers tell, and what access says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.security import Peer
from headgate.security.peer import http_certificate_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from headgate.security import Access


async def caller_of(request: web.Request, access: Access) -> str:
    """The caller's identity.

    Raises:
        Unauthenticated: wrong credentials, or none where they are required.
    """
    certificate = http_certificate_name(request.get_extra_info("peercert"))
    return await access.authenticate(Peer(request.remote, certificate), combined(request.headers))


def combined(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower-case names; values of a repeated name joined in order (RFC 9110, section 5.3).

    A proxy may add its `x-forwarded-for` as a line of its own, behind one that anybody wrote.
    """
    joined: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined
