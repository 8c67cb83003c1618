"""What stands around every HTTP handler: a request id, and JSON for what aiohttp refuses itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from aiohttp import web
from aiohttp.http import HttpProcessingError

from headgate.http_face.errors import plain_error_response
from headgate.request_id import HEADER, request_id_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_request_id: ContextVar[str] = ContextVar("headgate_http_request_id", default="")


class _NoBadRequests(logging.Filter):
    """aiohttp logs what is no HTTP as an error, with the bytes, which may hold a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


server_log = logging.getLogger("headgate.http")
server_log.addFilter(_NoBadRequests())


def request_id() -> str:
    """The id of the request that the current task answers."""
    return _request_id.get()


@web.middleware
async def named(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every request has an id: the caller's own, when it is one for a log and a header."""
    # Each request has a task of its own, so there is nothing to reset.
    _request_id.set(request_id_of(request.headers.get(HEADER, "")))
    return await handler(request)


@web.middleware
async def refusals_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """404, 405, 413 and their like in the shape of all other errors."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return plain_error_response(413, "the request is too large (server.max_message_bytes)")
    except web.HTTPNotFound:
        return plain_error_response(404, f"there is nothing at {request.path}")
    except web.HTTPMethodNotAllowed as error:
        allow = ", ".join(sorted(error.allowed_methods))
        text = f"{request.method} is not allowed here; allowed: {allow}"
        return plain_error_response(405, text, allow)
    except web.HTTPException as error:
        response = plain_error_response(error.status, error.text or error.reason)
        if error.keep_alive is False:
            response.force_close()
        return response
