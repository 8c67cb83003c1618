"""The HTTP face: the published `POST /api` and OpenAI's `POST /v1/chat/completions`.

Both lead into the same corridor as the gRPC face, through the same intake.
Until the corridor has opened, an error is an HTTP status; after that it is the stream's last event.
"""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from headgate.errors import HeadgateError
from headgate.http_face.body import OPENAI, PUBLISHED
from headgate.http_face.chat import HttpChat
from headgate.http_face.cors import Cors
from headgate.http_face.entry import caller_of
from headgate.http_face.errors import error_response, json_response
from headgate.http_face.middleware import Handler, named, refusals_as_json, request_id, server_log
from headgate.http_face.options import HttpOptions
from headgate.http_face.site import Site
from headgate.watch import Unwatched

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from headgate.intake import Intake
    from headgate.running_calls import RunningCalls
    from headgate.security import Access
    from headgate.upstream import Upstream
    from headgate.watch import Watch

# Calls have had their grace by then; this is for what else a connection may still be doing.
_CLOSING_TIMEOUT = 1.0
# For who still sends when the answer, a refusal, is out.
_LINGERING_TIME = 2.0


class HttpFace:
    """Serves HTTP over a corridor.

    Args:
        corridor: the outermost door.
        intake: the rules that both faces share.
        access: names the caller, and refuses those who may not call.
        options: see there.
        jitter: a random number from 0 to 1, for advice on when to come again.
        watch: follows each call.
        unknown: told of a face, and of what there is not that a stranger asked it for.

    Attributes:
        address: where it listens, once started.
    """

    def __init__(
        self,
        corridor: Upstream,
        intake: Intake,
        *,
        access: Access,
        options: HttpOptions | None = None,
        jitter: Callable[[], float] = random.random,
        watch: Watch | None = None,
        unknown: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._unknown = unknown
        self._options = options or HttpOptions()
        self._access = access
        self._jitter = jitter
        self._cors = Cors(self._options.cors_origins, own_page=self._options.page is not None)
        self._chat = HttpChat(
            corridor,
            intake,
            access=access,
            options=self._options,
            cors=self._cors,
            jitter=jitter,
            watch=watch or Unwatched(),
        )
        self.address = ""
        self._leaving = False
        self._runner = web.AppRunner(
            self._application(),
            handler_cancellation=True,
            access_log=None,
            logger=server_log,
            shutdown_timeout=_CLOSING_TIMEOUT,
            lingering_time=_LINGERING_TIME,
            # From the connection, or the last answer, to the end of the next request's head; 0 is
            # aiohttp's word for no limit.
            keepalive_timeout=_finite(self._options.max_idle),
        )

    def __repr__(self) -> str:
        state = "leaving" if self._leaving else "serving"
        return f"<HttpFace {self.address} {state} calls={len(self.calls)}>"

    async def start(
        self, listen: str, *, shared: bool = False, tls: ssl.SSLContext | None = None
    ) -> str:
        """Listen on `HOST:PORT` (port 0: any free one; no host: every address).

        With `shared`, other processes may listen on it too (SO_REUSEPORT); without `tls` it is
        plain text.

        Returns:
            The address that it listens on, in the same form.

        Raises:
            OSError: the address is taken, or none of this machine.
        """
        host, _, port = listen.rpartition(":")
        await self._runner.setup()
        site = Site(
            self._runner,
            host.strip("[]") or None,
            int(port),
            tls=tls,
            handshake_timeout=self._options.handshake_timeout,
            shared=shared,
        )
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound, bound_port = self._runner.addresses[0][:2]
        self.address = f"[{bound}]:{bound_port}" if ":" in bound else f"{bound}:{bound_port}"
        return self.address

    @property
    def calls(self) -> RunningCalls:
        """Those that run."""
        return self._chat.calls

    def drain(self) -> None:
        """Tell load balancers to go elsewhere; calls are still taken."""
        self._leaving = True

    async def stop(self, grace: float) -> None:
        """Stop listening, let running calls finish within `grace` seconds, cut the rest."""
        self._leaving = True
        for site in list(self._runner.sites):
            await site.stop()
        await self.calls.finish(grace)
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[named, refusals_as_json])
        app.on_response_prepare.append(self._add_headers)
        posts: dict[str, Handler] = {
            "/api": partial(self._chat.handle, dialect=PUBLISHED),
            "/v1/chat/completions": partial(self._chat.handle, dialect=OPENAI),
        }
        gets: dict[str, Handler] = {
            "/v1/models": self._models,
            "/healthz": self._alive,
            "/readyz": self._ready,
        }
        if self._options.page is not None:
            gets["/"] = self._page
        app.add_routes([web.post(path, handler) for path, handler in posts.items()])
        app.add_routes([web.get(path, handler) for path, handler in gets.items()])
        if self._cors.on:
            app.add_routes([web.options(path, self._preflight) for path in (*posts, *gets)])
        return app

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-request-id"] = request_id()
        if self._unknown is not None and request.match_info.http_exception is not None:
            self._unknown("http", f"{request.method} {request.path}", request_id())
        response.headers.update(self._cors.headers(request.headers))
        if self._leaving:
            response.headers["Connection"] = "close"
            response.force_close()

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        return self._cors.preflight(request)

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self._options.page, content_type="text/html", charset="utf-8")

    async def _alive(self, _: web.Request) -> web.StreamResponse:
        return json_response({"status": "ok"}, 200)

    async def _ready(self, _: web.Request) -> web.StreamResponse:
        status, word = (503, "draining") if self._leaving else (200, "ok")
        return json_response({"status": word}, status)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        try:
            self._access.authorize(await caller_of(request, self._access), "Models")
        except HeadgateError as error:
            return error_response(error, self._jitter())
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "headgate"}
            for name in self._options.models
        ]
        return json_response({"object": "list", "data": models})


def _finite(seconds: float) -> float:
    return 0.0 if math.isinf(seconds) else seconds
