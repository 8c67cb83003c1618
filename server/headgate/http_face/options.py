"""What the HTTP face needs of the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpOptions:
    """Times in seconds, inf means no limit.

    Attributes:
        cors_origins: web pages that may use the face, `*` for any; none turns CORS off.
        models: the names that `GET /v1/models` tells.
        page: the HTML of `GET /`, if there is one; visited by address or as localhost it may use
            the face, by a name only as one of `cors_origins`.
        max_body_bytes: larger requests are answered with 413.
        write_stall_timeout: how long a caller may stall, in sending its body or in reading.
        default_deadline: of every call, because HTTP carries none.
        max_deadline: the longest that a call may take.
        handshake_timeout: for TLS, in seconds that are not inf.
        max_idle: how long a connection may be without a request.
    """

    cors_origins: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    page: bytes | None = None
    max_body_bytes: int = 16 * 1024 * 1024
    write_stall_timeout: float = 60.0
    default_deadline: float = math.inf
    max_deadline: float = math.inf
    handshake_timeout: float = 10.0
    max_idle: float = 300.0
