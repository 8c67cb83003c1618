"""Which web pages may use the HTTP face (Fetch standard, CORS protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._any = _ANY in origins
        self._origins = frozenset(origins)

    @property
    def on(self) -> bool:
        return bool(self._origins)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether the sender is no browser, a page of this server, or a page of the list.

        A page elsewhere cannot read an answer without CORS, but without this it could still
        send requests, and spend the upstream's limit and the gateway's key.
        """
        origin = headers.get("Origin")
        if origin is None or self._any or origin in self._origins:
            return True
        return origin.partition("://")[2] == headers.get("Host", "")

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
