"""One member's access to a schedule in Redis or Valkey."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from headgate.throttle.ledger import LedgerError, Standing
from headgate.throttle.pacer import PAST
from headgate.throttle.remote_clock import RemoteClock
from headgate.throttle.schedule import LONG_AGO, MICRO, Terms, micro

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headgate.throttle.pacer import Pace

SILENCE = 15
"""Seconds without a sign of life after which a member is not counted any more."""

LISTEN_AGAIN = 1.0
"""Seconds from the end of a subscription to the next one."""

YOUNG = 5
SETTLE_OF_YOUNG = 2.0
"""Seconds without a slot in a new schedule of a server that started less than `YOUNG` ago.

Other members may have lost the one before, and still be on their shares of the rate.
"""

CHANGE = "change"
SCRIPT = resources.files("headgate.redis_ledger").joinpath("schedule.lua").read_text("utf-8")


class RedisLedger:
    """A `Ledger`; every operation is one call of a script, by EVALSHA.

    Args:
        url: `redis://[USER@]HOST[:PORT][/DB]`, or `rediss://` for TLS.
        pace: what all members keep together.
        key: names the limit; members with the same key share it.
        member: this member's name, unlike any other's.
        password: for the user.
        ca_file: certificates to trust in place of the system's.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        pace: Pace,
        key: str,
        member: str,
        password: str | None = None,
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_pause: Callable[[float], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self._options = _options(url, password, ca_file)
        self._url = url
        self._terms = self._later = Terms.of(pace)
        self._until = -math.inf  # from then on, not `_terms` but `_later`
        self._free_at = -math.inf
        self._exact_enough = pace.margin / 4
        self._reserved: dict[float, int] = {}  # instants in our time, and in the server's
        self._keys = [f"headgate:{{{key}}}{part}" for part in ("", ":members", ":returned")]
        self._member = member
        self._clock = clock
        self._server_clock = RemoteClock()
        self._client: redis.asyncio.Redis | None = None
        self._listening: asyncio.Task[None] | None = None
        self._sha = ""
        self._was_in = False
        self.name = _name(url)

    def __repr__(self) -> str:
        return f"<RedisLedger {self.name} [{self._keys[0]}]>"

    async def join(self, *, latest: float, settle: float) -> Standing:
        await self._disconnect()
        self._client = _connect(self._url, self._options)
        with _as_ledger_error():
            self._sha = await self._client.script_load(SCRIPT)
            await self._learn_time(self._client)
            settle_of_new = await _settle_of_new(self._client)
        if self._was_in:  # a schedule that is not there any more was lost; others have slots of it
            settle_of_new = SETTLE_OF_YOUNG
        self._listening = asyncio.create_task(self._listen())
        settles = micro(settle), micro(settle_of_new)
        standing = await self._call("join", self._there(latest), *settles)
        self._was_in = True
        return standing

    async def reserve(self, count: int, lead: float) -> Standing:
        doubt = self._server_clock.doubt(self._clock())
        pad = doubt if doubt > self._exact_enough else 0.0
        if self._clock() < self._until:
            pad = max(pad, 1 / MICRO)  # no slot that was given back: it is of the old pace
        return await self._call("reserve", count, micro(lead), micro(pad))

    async def give_back(self, instants: Sequence[float]) -> None:
        theirs = [self._reserved.pop(instant) for instant in instants if instant in self._reserved]
        await self._call("give", *theirs)

    async def pause(self, until: float) -> None:
        await self._call("pause", micro(max(0.0, until - self._clock())))

    def change(self, pace: Pace) -> None:
        """As `Pacer.change`, behind the slots that all members have reserved as far as we know."""
        now, new = self._clock(), Terms.of(pace)
        if new == self._later:
            return
        old = self._terms_now
        self._terms, self._later = old.with_both(new), new
        self._until = max(now, self._free_at) + max(self._terms.gap / MICRO, PAST)
        self._exact_enough = pace.margin / 4

    async def aclose(self) -> None:
        with suppress(LedgerError):
            if self._client is not None:
                await self._call("leave")
        await self._disconnect()

    async def _call(self, operation: str, *arguments: int) -> Standing:
        if self._client is None:
            raise LedgerError("not connected")
        own = (operation, self._member, *self._terms_now, SILENCE)
        sent = self._clock()
        with _as_ledger_error():
            reply = await self._client.evalsha(
                self._sha, len(self._keys), *self._keys, *(str(word) for word in (*own, *arguments))
            )
        if reply is None:
            raise LedgerError("the schedule is gone: the server has lost its data")
        return self._standing([int(number) for number in reply], sent)

    def _standing(self, reply: list[int], sent: float) -> Standing:
        """What a reply says, in our time."""
        now, free_at, members, rank, pause, *instants = reply
        arrived = self._clock()
        if not self._server_clock.exchange(sent, now / MICRO, arrived):
            # Of a clock that was set anew; who shares it may have others near them.
            instants, self._reserved = [], {}
        self._reserved = {mine: us for mine, us in self._reserved.items() if mine > arrived}
        ours = {self._here(instant): instant for instant in instants}
        self._reserved |= ours
        if pause > now:
            self.on_pause(self._here(pause))
        self._free_at = self._here(free_at)
        return Standing(sorted(ours), self._free_at, members, rank, self._here(0))

    @property
    def _terms_now(self) -> Terms:
        return self._terms if self._clock() < self._until else self._later

    def _here(self, instant: int) -> float:
        return self._server_clock.here(instant / MICRO, self._clock())

    def _there(self, instant: float) -> int:
        if instant == -math.inf:
            return LONG_AGO
        return micro(self._server_clock.there(instant, self._clock()))

    async def _learn_time(self, client: redis.asyncio.Redis) -> None:
        """A few exchanges, of which the quickest counts."""
        for _ in range(3):
            sent = self._clock()
            seconds, micros = await client.time()
            self._server_clock.exchange(sent, seconds + micros / MICRO, self._clock())

    async def _listen(self) -> None:
        """Hears of pauses at once; they come with every reply, too, so that a gap is no harm."""
        missed = False
        while True:
            with suppress(RedisError, OSError):
                await self._subscribe(missed=missed)
            missed = True
            await asyncio.sleep(LISTEN_AGAIN)

    async def _subscribe(self, *, missed: bool) -> None:
        client = _connect(self._url, self._options)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(self._keys[0])
                if missed:
                    self.on_change()
                async for message in channel.listen():
                    self._hear(message)
        finally:
            await _close(client)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] != "message":
            return
        member, pause = message["data"].decode().rsplit(" ", 1)
        if member == self._member:
            return
        if pause == CHANGE:
            self.on_change()
        else:
            self.on_pause(self._here(int(pause)))

    async def _disconnect(self) -> None:
        listening, self._listening = self._listening, None
        while listening is not None and not listening.done():
            # The library loses a cancellation that comes while it subscribes.
            listening.cancel()
            await asyncio.wait([listening], timeout=0.05)
        client, self._client = self._client, None
        if client is not None:
            await _close(client)


def _connect(url: str, options: dict[str, Any]) -> redis.asyncio.Redis:
    """One connection, and no retries: the courier decides what happens after a failure."""
    return redis.asyncio.Redis.from_url(
        url, single_connection_client=True, protocol=2, retry=Retry(NoBackoff(), 0), **options
    )


async def _close(client: redis.asyncio.Redis) -> None:
    with suppress(RedisError, OSError):
        await client.aclose()


async def _settle_of_new(client: redis.asyncio.Redis) -> float:
    try:
        server = await client.info("server")
    except ResponseError:
        return SETTLE_OF_YOUNG  # an ACL may forbid to ask
    return SETTLE_OF_YOUNG if server["uptime_in_seconds"] < YOUNG else 0.0


@contextmanager
def _as_ledger_error() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise LedgerError(
            str(error).splitlines()[0] if str(error) else type(error).__name__
        ) from error


def _options(url: str, password: str | None, ca_file: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if password is not None:
        options["password"] = password
    if ca_file is not None and url.startswith("rediss:"):
        options["ssl_ca_certs"] = ca_file
    return options


def _name(url: str) -> str:
    """The address without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
