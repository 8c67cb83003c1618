"""The join door: the outermost one, and only for calls with an idempotency key."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from headgate.errors import IdempotencyMismatch
from headgate.join.shared_call import SharedCall
from headgate.join.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from headgate.config import IdempotencySettings
    from headgate.upstream import Call, Chunk, Upstream

Name = tuple[str, str]
# What a kept answer takes beside its Chunks.
ENTRY_WEIGHT = 3000

_encode = msgspec.json.Encoder(order="deterministic").encode


class JoinDoor:
    """Calls of one caller with the same key share one call through the doors behind this one.

    A key names a call while its answer can be given from the first delta on: while it waits and
    runs, and once it has ended well `keep` seconds from when it is first without a reader. Reading
    it later does not renew it.
    A call that failed, that all have left, or whose first deltas the buffer had to drop has no
    name: the next one with that key is made anew.

    Args:
        inner: what a call without a key passes alone, and joined calls together: the caller's
            allowance, retries, the throttle.
        settings: how long and how much; see there.
    """

    def __init__(self, inner: Upstream, settings: IdempotencySettings) -> None:
        self._inner = inner
        self._linger = settings.linger
        self._bound = settings.max_stream_bytes
        self._calls: dict[Name, SharedCall] = {}
        self._shelf: Shelf[Name] = Shelf(settings.keep, settings.max_bytes)
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[SharedCall] = set()

    def __repr__(self) -> str:
        return (
            f"<JoinDoor [{len(self._calls)} keys, {len(self._running)} running,"
            f" {len(self._shelf)} kept in {self._shelf.weight} bytes]>"
        )

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """See `Upstream`; without a key this door is not there.

        Raises:
            IdempotencyMismatch: the key names another request.
            HeadgateError: as the doors behind, for every joined call alike.
            StreamInterrupted: also for a reader that fell behind the others.
        """
        return self._joined(call) if call.idempotency_key else self._inner.open(call)

    def drain(self) -> None:
        """Calls that nobody reads are not worth waiting for, from now on."""
        self._linger = 0.0
        for name, shared in list(self._calls.items()):
            self._settle(name, shared)

    async def aclose(self) -> None:
        """End what still runs, and forget everything; nothing may be opened any more."""
        self._linger = 0.0
        self._calls.clear()
        if self._timer is not None:
            self._timer.cancel()
        for shared in self._running:
            shared.cut()
        if self._running:
            await asyncio.wait({shared.task for shared in self._running})

    @asynccontextmanager
    async def _joined(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        name = call.caller, call.idempotency_key
        shared = self._find(name, call)
        reading = shared.join(call)
        try:
            await reading.ready()
            yield reading
        finally:
            shared.leave(reading)
            self._settle(name, shared)

    def _find(self, name: Name, call: Call) -> SharedCall:
        """The call that the key names, or a new one."""
        fingerprint = _fingerprint(call)
        shared = self._calls.get(name)
        if shared is None or not shared.joinable:
            return self._start(name, call, fingerprint)
        if shared.fingerprint != fingerprint:
            raise IdempotencyMismatch
        call.forget_prompt()
        return shared

    def _start(self, name: Name, call: Call, fingerprint: bytes) -> SharedCall:
        call.taker = None  # what comes is for all who join
        shared = SharedCall(self._inner, call, fingerprint, bound=self._bound)
        self._calls[name] = shared
        self._running.add(shared)

        def over(_: asyncio.Task[None]) -> None:
            self._running.discard(shared)
            self._settle(name, shared)

        shared.task.add_done_callback(over)
        return shared

    def _settle(self, name: Name, shared: SharedCall) -> None:
        """A reader has left, or the work is over: what becomes of a call that nobody reads."""
        named = self._calls.get(name) is shared
        if shared.readers or (named and name in self._shelf):
            return
        if named and shared.joinable:
            if not shared.running:
                self._keep(name, shared)
                return
            if self._linger > 0:
                shared.linger(self._linger, lambda: self._end(name, shared))
                return
        self._end(name, shared)

    def _end(self, name: Name, shared: SharedCall) -> None:
        """The key names it no more, and its work is not needed."""
        if self._calls.get(name) is shared:
            del self._calls[name]
        shared.cut()

    def _keep(self, name: Name, shared: SharedCall) -> None:
        shared.settle()
        now = asyncio.get_running_loop().time()
        for gone in self._shelf.put(name, shared.weight + ENTRY_WEIGHT, now):
            del self._calls[gone]
        self._stand_timer()

    def _stand_timer(self) -> None:
        """At the end of the answer that has to go first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._shelf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._shelf.next_end(), self._expire)

    def _expire(self) -> None:
        for gone in self._shelf.expire(asyncio.get_running_loop().time()):
            del self._calls[gone]
        self._stand_timer()


def _fingerprint(call: Call) -> bytes:
    """Of what goes upstream: method (`stream`), messages with their system prompt, parameters.

    How the answer is delivered and how the call waits may differ between calls that are joined.
    """
    body = _encode((call.request, call.extra))
    return hashlib.sha256(body).digest()
