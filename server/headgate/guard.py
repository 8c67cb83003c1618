"""What stands around every handler: no hanging client, no leaked text, a quiet end for the gone.

The facts behind it, all seen with grpcio 1.85: a handler that raises CancelledError on its own
sends no status at all; unexpected exceptions are sent to the client with their text; a write that
is blocked when the client leaves raises an internal error of gRPC's.
"""

from __future__ import annotations

import asyncio
import functools
import random
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
import structlog

from headgate.errors import HeadgateError, InternalError
from headgate.rich_status import RichStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = TypeVar("Answer")
Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger("headgate")


class PeerGone(Exception):
    """The client left while a write to it was blocked."""


def guarded(
    handler: Callable[[Any, Any, Context], Awaitable[Answer]],
) -> Callable[[Any, Any, Context], Awaitable[Answer]]:
    """Wrap a coroutine method `(self, request, context)` of a servicer."""

    @functools.wraps(handler)
    async def guarded_handler(servicer: Any, request: Any, context: Context) -> Answer:
        task = asyncio.current_task()
        try:
            return await handler(servicer, request, context)
        except PeerGone as error:
            # The quiet path: a normal return would send a status on a dead call and leak it.
            raise asyncio.CancelledError from error
        except asyncio.CancelledError:
            if task is None or task.cancelling():
                raise
            _log.exception("a call was cancelled from within", method=handler.__name__)
            await abort(context, InternalError())
        except grpc.aio.AbortError:
            raise
        except HeadgateError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - any other error is ours: the log has it, the caller does not
            _log.exception("a call failed unexpectedly", method=handler.__name__)
            await abort(context, InternalError())

    return guarded_handler


async def abort(context: Context, error: HeadgateError) -> NoReturn:
    """End the call with the error's status and details."""
    rich = RichStatus(error, jitter=random.random())  # noqa: S311 - spreads retries, hides nothing
    kept = tuple(context.trailing_metadata() or ())
    await context.abort(rich.code, rich.message, (*kept, *rich.trailers))
