"""The upstream of the conformance cases: the request's `model` says what it does.

`NAME` or `NAME:ARGUMENTS`, such as `cut:3` or `status:503,retry-after=1`; `behaviours.py` says
where they are. The request's `user` is the key under which it is remembered, so that cases do not
mix that run at the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import answers
import faults
import writing
from behaviours import BEHAVIOURS
from support.raw_upstream import RawUpstream
from talk import Gone, Talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.raw_upstream import Connection, Request


@dataclass
class Attempt:
    """One request as the upstream saw it; times are monotonic seconds.

    Attributes:
        body: its JSON, without the messages' long texts.
        speaking: set once the behaviour has written something.
        gone_at: when the client closed its end before it had everything; None: it did not.
        over_at: when the behaviour had written everything.
    """

    at: float
    body: dict[str, Any]
    headers: dict[str, str]
    size: int
    speaking: asyncio.Event = field(default_factory=asyncio.Event)
    gone_at: float | None = None
    over_at: float | None = None


# Imported for what they make known.
__all__ = ["ConformanceUpstream", "answers", "faults", "writing"]


class ConformanceUpstream:
    """Listens on a free port of this machine; `attempts` by the key of the call."""

    def __init__(self) -> None:
        self._raw = RawUpstream(self._answer)
        self._attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._raw.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._raw.__aexit__(*exc)

    @property
    def url(self) -> str:
        return self._raw.url

    def attempts(self, key: str) -> list[Attempt]:
        """In the order of their arrival."""
        return self._attempts[key]

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for something at this upstream that makes the condition true; whether it came."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True

    async def _answer(self, request: Request, connection: Connection) -> None:
        body = request.json
        self._raw.requests.clear()  # what is remembered stands in the attempts
        attempt = Attempt(
            at=request.at, body=_short(body), headers=request.headers, size=len(request.body)
        )
        attempts = self._attempts[body.get("user", "")]
        attempts.append(attempt)
        await self._notify()
        talk = Talk(body, len(attempts), connection, attempt.speaking, self._notify)
        try:
            await talk.unless_gone(_behaviour(body.get("model", "")))
            attempt.over_at = time.monotonic()
        except (Gone, ConnectionError):
            attempt.gone_at = time.monotonic()
        finally:
            connection.writer.close()
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _behaviour(model: str) -> Callable[[Talk], Any]:
    name, _, arguments = model.partition(":")
    behaviour = BEHAVIOURS.get(name, BEHAVIOURS["unknown"])
    return lambda talk: behaviour(talk, *filter(None, arguments.split(",")))


def _short(body: dict[str, Any]) -> dict[str, Any]:
    """A request of 16 MiB is not kept for every language."""
    messages = [
        {k: v[:2000] if isinstance(v, str) else v for k, v in message.items()}
        for message in body.get("messages", [])
    ]
    return body | {"messages": messages}
