"""Which web pages may use the HTTP face (Fetch standard, CORS protocol)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from headgate.http_face.errors import EXPOSED_HEADERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ANY = "*"
_MAX_AGE = "600"


class Cors:
    """Off without origins. Credentials are never allowed, so `*` gives no page a user's cookies.

    Args:
        origins: as browsers send them (`https://example.org`), or `*` for any.
        own_page: whether this server delivers a page, which then may use it where it is visited by
            address or as localhost.
    """

    def __init__(self, origins: Collection[str], *, own_page: bool = False) -> None:
        self._own_page = own_page
        self._any = _ANY in origins
        self._origins = frozenset(origins)

    @property
    def on(self) -> bool:
        return bool(self._origins)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether the sender is no browser, a page of the list, or this server's own page.

        A page elsewhere cannot read an answer without CORS, but without this it could still
        send requests, and spend the upstream's limit and the gateway's key.
        To have the origin of this server proves nothing: any page has it whose own name leads
        here by now (DNS rebinding).
        """
        origin = headers.get("Origin")
        if origin is None or self._any or origin in self._origins:
            return True
        host = origin.partition("://")[2]
        return self._own_page and host == headers.get("Host") and _needs_no_name_server(host)

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """What to add to any answer to a request with these headers."""
        if not self.on or "Origin" not in request:
            return {}
        exposed = {"Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS)}
        if self._any:
            return {"Access-Control-Allow-Origin": _ANY, **exposed}
        if request["Origin"] not in self._origins:
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": request["Origin"], "Vary": "Origin", **exposed}

    def preflight(self, request: web.Request) -> web.Response:
        """The answer to OPTIONS; `headers` adds the origin."""
        wanted = request.headers.get("Access-Control-Request-Headers", "content-type")
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
                "Access-Control-Allow-Headers": wanted,
                "Access-Control-Max-Age": _MAX_AGE,
            },
        )


def _needs_no_name_server(host: str) -> bool:
    """Whether nobody else can say where `HOST:PORT` leads."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
