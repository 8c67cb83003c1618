"""How a call ended, in the words of both faces: for logs and traces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from headgate.errors import HeadgateError, Reason
from headgate.guard import PeerGone
from headgate.status import row

if TYPE_CHECKING:
    from headgate.progress import Progress
    from headgate.upstream import Call

# Who leaves within this of the deadline did so because of it: clocks are not that exact.
AT_THE_DEADLINE = 0.02
NOT_THERE = {"grpc": "UNIMPLEMENTED", "http": "NOT_FOUND"}
"""The code of a call for something that there is not, by face."""


class Ending(NamedTuple):
    """What the caller is told; see `guard` and `http_face.chat`.

    Attributes:
        code: gRPC's word for the status, of HTTP calls too.
        reason: behind it; empty for OK and for callers that left.
        http: the HTTP status, where one can still be sent; None: nobody is there to read it.
    """

    code: str
    reason: str = ""
    http: int | None = 200

    @property
    def ok(self) -> bool:
        return self.code == "OK"


def ending_of(error: BaseException | None, call: Call | None, now: float) -> Ending:
    """How a call ended that ended so; asked in the task of the call.

    Args:
        error: what came out of the handler; None: nothing.
        call: if it was admitted.
        now: monotonic seconds.
    """
    if error is None:
        return Ending("OK")
    if isinstance(error, HeadgateError):
        status = row(error)
        return Ending(status.grpc.name, error.reason.value, status.http)
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            return Ending("INTERNAL", Reason.INTERNAL.value, 500)
        if call is not None and now >= call.deadline_or_inf - AT_THE_DEADLINE:
            return Ending("DEADLINE_EXCEEDED", Reason.DEADLINE.value, None)
        return Ending("CANCELLED", http=None)
    if isinstance(error, PeerGone):
        return Ending("CANCELLED", http=None)
    refused = getattr(error, "status", None)
    if isinstance(refused, int):  # aiohttp's HTTPException; its server is loaded for HTTP alone
        return Ending("INVALID_ARGUMENT", Reason.INVALID_REQUEST.value, refused)
    return Ending("INTERNAL", Reason.INTERNAL.value, 500)


def http_status(ending: Ending, progress: Progress) -> int | None:
    """What the caller got as HTTP status; None: nobody was there to read one."""
    return 200 if progress.status_sent else ending.http
