"""Errors as an HTTP caller sees them: OpenAI's shape, and the headers that its SDKs obey."""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from headgate.errors import FieldViolation, HeadgateError, InvalidRequest, Unauthenticated
from headgate.http_face.translate import encode_json
from headgate.rich_status import clip
from headgate.status import http_status, pushback

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_VIOLATIONS = 50
_OF_A_TOOL = re.compile(r"^(tools\[[0-9]+\])\.(name|parameters)$")
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
EXPOSED_HEADERS = (
    "x-request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-headgate-reason",
)


def error_body(error: HeadgateError) -> dict[str, Any]:
    """`{"error": {...}}`; beside OpenAI's four fields all violations and facts that there are."""
    fields = _fields(http_status(error), clip(error.message), error.reason.value)
    if isinstance(error, InvalidRequest):
        shown = [
            {name: clip(text) for name, text in violation._asdict().items()}
            for violation in error.violations[:_MAX_VIOLATIONS]
        ]
        fields |= {"param": shown[0]["field"], "violations": shown}
    if error.metadata:
        fields["metadata"] = error.metadata
    return {"error": fields}


def error_headers(error: HeadgateError, jitter: float) -> dict[str, str]:
    """When to come again, or not to (promise 11); `jitter` is a random number from 0 to 1."""
    headers = {"x-headgate-reason": error.reason.value}
    wait = pushback(error, jitter)
    if wait is None:
        headers["x-should-retry"] = "false"
        wait = error.retry_after
    if wait is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait)))
        headers["retry-after-ms"] = str(max(1, math.ceil(wait * 1000)))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return headers


def error_response(error: HeadgateError, jitter: float) -> web.Response:
    return json_response(error_body(error), http_status(error), error_headers(error, jitter))


def plain_error_response(status: int, message: str, allow: str = "") -> web.Response:
    """For what HTTP itself refuses (404, 405, 413, 415); `allow` is the header of a 405."""
    headers = {"allow": allow} if allow else {}
    body = {"error": _fields(status, message, HTTPStatus(status).name)}
    return json_response(body, status, headers | {"x-should-retry": "false"})


def in_json_terms(error: InvalidRequest) -> InvalidRequest:
    """The same with the paths of the JSON body, where extra parameters stand at the top."""
    return InvalidRequest(
        [FieldViolation(_in_json(field), text) for field, text in error.violations]
    )


def _in_json(field: str) -> str:
    return _OF_A_TOOL.sub(r"\1.function.\2", field.removeprefix("extra."))


def _fields(status: int, message: str, code: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"message": message, "type": kind, "param": None, "code": code}


def json_response(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status, body=encode_json(body), headers=headers, content_type="application/json"
    )
