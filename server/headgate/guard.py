"""What stands around every handler: no hanging client, no leaked text, a quiet end for the gone.

The facts behind it, all seen with grpcio 1.85: a handler that raises CancelledError on its own
sends no status at all; unexpected exceptions are sent to the client with their text; a write that
is blocked when the client leaves raises an internal error of gRPC's.
"""

from __future__ import annotations

import asyncio
import functools
import random
import traceback
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
    """The client left, or over HTTP has stopped reading for too long; there is nobody to tell.

    A client that stops reading over gRPC can still be told (StreamInterrupted).
    """


def guarded(
    handler: Callable[[Any, Any, Context], Awaitable[Answer]],
) -> Callable[[Any, Any, Context], Awaitable[Answer]]:
    """Wrap a coroutine method `(self, request, context)` of a servicer."""

    @functools.wraps(handler)
    async def guarded_handler(servicer: Any, request: Any, context: Context) -> Answer:
        try:
            return await handler(servicer, request, context)
        except PeerGone as error:
            # The quiet path: a normal return would send a status on a dead call and leak it.
            raise asyncio.CancelledError from error
        except asyncio.CancelledError:
            if _is_cancelled():
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
        finally:
            # The context keeps the error that ends the call, and the error keeps this frame.
            del context

    return guarded_handler


def _is_cancelled() -> bool:
    """Whether somebody has cancelled the call, and not something in it itself."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def abort(context: Context, error: HeadgateError) -> NoReturn:
    """End the call with the error's status and details."""
    rich = RichStatus(error, jitter=random.random())  # noqa: S311 - spreads retries, hides nothing
    kept = tuple(context.trailing_metadata() or ())
    ending = context.abort(rich.code, rich.message, (*kept, *rich.trailers))
    _let_go(error)
    del context  # as in `guarded`
    await ending


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that the error has come through; the ones that still run stay as they are.

    They hold the call, and the call holds the error. gRPC counts a call until nothing holds it any
    more, and a connection with more of them than `server.max_concurrent_streams` has its further
    ones refused; a collection, which would find them, is rare here.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
