"""The schedule in a real Redis: the script against the model, and the ledger against the world."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import subprocess
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.redis_ledger import RedisLedger
from headgate.redis_ledger.ledger import SCRIPT, SETTLE_OF_YOUNG
from headgate.throttle.ledger import LedgerError
from headgate.throttle.pacer import Pace
from headgate.throttle.schedule import LONG_AGO, MICRO, Schedule, Terms
from support.operator_page import PAGES
from support.redis_server import RedisServer, needs_redis, redis_server, slow_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = needs_redis

PACE = Pace(rate=2, min_interval=0.5, margin=0.005)
PACES = [PACE, Pace(rate=4, burst=3, margin=0), Pace(min_interval=1.0, margin=0)]
SOON = 0.1


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(str(tmp_path)) as running:
        yield running


@pytest.fixture
async def member(server: RedisServer) -> AsyncIterator[Callable[..., RedisLedger]]:
    """Makes members of one schedule, which leave at the end."""
    made: list[RedisLedger] = []

    def make(name: str, **options: Any) -> RedisLedger:
        given: dict[str, Any] = {"url": server.url, "pace": PACE, "key": "test", "member": name}
        given |= options
        made.append(RedisLedger(given.pop("url"), **given))
        return made[-1]

    yield make
    for ledger in made:
        await ledger.aclose()


async def enter(ledger: RedisLedger) -> None:
    await ledger.join(latest=-math.inf, settle=0)


# The script against the model.

steps = st.one_of(
    st.tuples(
        st.just("reserve"),
        st.integers(0, 3),
        st.integers(0, 600_000),
        st.sampled_from([0, 0, 9000]),
    ),
    st.tuples(st.just("give"), st.integers(0, 20), st.integers(1, 3)),
    st.tuples(st.just("pause"), st.integers(0, 2_000_000)),
    st.tuples(st.just("join"), st.integers(-1, 3_000_000), st.sampled_from([0, 1_500_000])),
)
traces = st.lists(st.tuples(st.integers(-3_000_000, 3_000_000), steps), max_size=25)


@pytest.fixture
async def script(server: RedisServer) -> AsyncIterator[Script]:
    runner = Script(server.port)
    yield runner
    runner.client.close()


class Script:
    """The script with a clock of ours in place of the server's."""

    def __init__(self, port: int) -> None:
        self.client = redis.Redis(port=port, protocol=2)
        clock = "redis.call('HMGET', 'clock', 'seconds', 'micros')"
        assert SCRIPT.count("redis.call('TIME')") == 1
        self._run = self.client.register_script(SCRIPT.replace("redis.call('TIME')", clock))

    def __call__(self, now: int, terms: Terms, operation: str, *arguments: int) -> list[int]:
        seconds, micros = divmod(now, MICRO)
        self.client.hset("clock", mapping={"seconds": seconds, "micros": micros})
        keys = ("headgate:{t}", "headgate:{t}:members", "headgate:{t}:returned")
        reply: list[int] = self._run(keys, (operation, "me", *terms, 15, *arguments))
        return reply


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pace=st.sampled_from(PACES), trace=traces)
def test_the_script_and_the_model_agree_on_every_trace(
    script: Script, pace: Pace, trace: list[tuple[int, tuple[Any, ...]]]
) -> None:
    """Slots, next free instant and pause are the same, whatever is done and wherever time goes."""
    script.client.flushdb()
    terms = Terms.of(pace)
    model, now, out = Schedule(terms), 1_795_000_000 * MICRO, [0]
    model.join(now)
    script(now, terms, "join", LONG_AGO, 0, 0)
    for passed, (operation, *drawn) in trace:
        arguments = list(drawn)
        now += passed
        expected: list[int] = []
        if operation == "reserve":
            expected = model.reserve(now, *arguments)
            out += expected
        elif operation == "give":
            first, count = arguments
            arguments = out[first % len(out) :][:count]
            model.give_back(now, arguments)
        elif operation == "pause":
            model.pause(now, now + arguments[0])
        else:
            latest, settle = arguments
            arguments = [LONG_AGO if latest < 0 else now + latest, settle, 0]
            model.join(now, *arguments[:2])
        reply = script(now, terms, operation, *arguments)
        assert reply[0] == now
        assert reply[1] == model.free_at(now), operation
        assert reply[5:] == expected


# The ledger against a real server.


async def test_members_share_one_schedule(member: Callable[..., RedisLedger]) -> None:
    """Slots go in the order of the requests for them, a gap apart, at whichever member."""
    first, second = member("a"), member("b")
    await enter(first)
    await enter(second)
    slots = [(await ledger.reserve(1, SOON)).instants[0] for ledger in (first, second, first)]
    assert all(b - a >= PACE.gap - 0.001 for a, b in pairwise(slots))
    standing = await second.reserve(0, SOON)
    assert (standing.members, standing.rank) == (2, 1)


async def test_another_key_is_another_limit(member: Callable[..., RedisLedger]) -> None:
    """Gateways of different upstreams may use one server."""
    one, other = member("a", key="one"), member("a", key="other")
    await enter(one)
    await enter(other)
    taken = (await one.reserve(3, SOON)).instants
    assert (await other.reserve(1, SOON)).instants[0] < taken[1]


async def test_what_is_given_back_goes_to_another(member: Callable[..., RedisLedger]) -> None:
    """A slot that one member cannot use is not lost."""
    # Only who knows the server's time to a quarter of the margin may have it.
    wide = Pace(rate=2, min_interval=0.5, margin=0.2)
    first, second = member("a", pace=wide), member("b", pace=wide)
    await enter(first)
    await enter(second)
    slots = (await first.reserve(3, SOON)).instants
    await first.give_back(slots[1:2])
    got = (await second.reserve(1, SOON)).instants[0]
    assert abs(got - slots[1]) < wide.margin


async def test_a_pause_is_heard_by_all_at_once(member: Callable[..., RedisLedger]) -> None:
    """A 429 at one replica stops the others without their asking."""
    first, second = member("a"), member("b")
    await enter(first)
    await enter(second)
    heard: list[float] = []
    second.on_pause = heard.append
    until = time.monotonic() + 7
    while not any(abs(pause - until) < 0.2 for pause in heard):
        # The second may not have subscribed yet.
        await first.pause(until)
        await asyncio.sleep(0.01)
    assert (await second.reserve(1, SOON)).instants[0] >= until - PACE.margin


async def test_who_comes_and_goes_is_told_to_the_others(
    member: Callable[..., RedisLedger],
) -> None:
    """Each knows how many share the limit, which is its share if the store is lost."""
    first = member("a")
    await enter(first)
    changed = asyncio.Event()
    first.on_change = changed.set
    second = member("b")
    while not changed.is_set():
        await enter(second)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), 0.05)
    assert (await first.reserve(0, SOON)).members == 2
    await second.aclose()
    assert (await first.reserve(0, SOON)).members == 1


async def test_a_server_that_lost_its_data_is_a_loss(
    member: Callable[..., RedisLedger], server: RedisServer
) -> None:
    """Slots of a schedule that nobody remembers are not handed out; `join` starts anew."""
    ledger = member("a")
    await enter(ledger)
    redis.Redis(port=server.port).flushall()
    with pytest.raises(LedgerError, match="lost its data"):
        await ledger.reserve(1, SOON)
    latest = time.monotonic() + 3
    await ledger.join(latest=latest, settle=0)
    assert (await ledger.reserve(1, SOON)).instants[0] >= latest + PACE.gap - 0.001


async def test_a_server_that_went_away_is_a_loss_in_one_line(
    member: Callable[..., RedisLedger], server: RedisServer
) -> None:
    """The error says what is wrong, without a traceback's worth of text; coming back works."""
    ledger = member("a")
    await enter(ledger)
    await server.stop()
    with pytest.raises(LedgerError) as caught:
        await ledger.reserve(1, SOON)
    assert "\n" not in str(caught.value)
    with pytest.raises(LedgerError):
        await enter(ledger)
    await server.start()
    await enter(ledger)
    assert (await ledger.reserve(1, SOON)).instants


async def test_a_young_server_makes_everybody_wait_once(
    member: Callable[..., RedisLedger],
) -> None:
    """Whoever was lost with the old data may still be on its share of the rate."""
    ledger = member("a")
    standing = await ledger.join(latest=-math.inf, settle=0)
    assert standing.free_at - time.monotonic() > 1


async def test_a_call_that_is_cancelled_spoils_nothing(
    member: Callable[..., RedisLedger], server: RedisServer
) -> None:
    """After a reply that came too late, the next `join` starts clean, and replies fit requests."""
    async with slow_link(server.port) as link:
        ledger = member("a", url=link.url)
        await enter(ledger)
        link.hold()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ledger.reserve(3, SOON)
        link.free()
        await enter(ledger)
        assert len((await ledger.reserve(1, SOON)).instants) == 1
        assert len((await ledger.reserve(2, SOON)).instants) == 2


async def test_one_round_trip_a_slot(
    member: Callable[..., RedisLedger], server: RedisServer
) -> None:
    """A reservation is one command to the server."""
    ledger = member("a")
    await enter(ledger)
    client = redis.Redis(port=server.port)

    def commands() -> int:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

    before = commands()
    for _ in range(10):
        await ledger.reserve(1, SOON)
    assert commands() - before == 10


async def test_data_that_were_lost_are_a_loss(
    server: RedisServer, member: Callable[..., RedisLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who makes the schedule anew was in it, so others may have slots of the one before."""
    monkeypatch.setattr(
        "headgate.redis_ledger.ledger.YOUNG", 0
    )  # as if the server had been there for long
    first, second = member("a"), member("b")
    await enter(first)
    await enter(second)
    heard: list[float] = []
    first.on_pause = heard.append
    client = redis.Redis(port=server.port)
    client.flushall()
    client.close()
    with pytest.raises(LedgerError):
        await first.reserve(1, SOON)
    before = time.monotonic()
    await enter(first)
    assert heard[-1] >= before + SETTLE_OF_YOUNG - 0.1


async def test_a_subscription_that_ends_is_made_again(
    server: RedisServer, member: Callable[..., RedisLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was missed meanwhile is asked for."""
    monkeypatch.setattr("headgate.redis_ledger.ledger.LISTEN_AGAIN", 0.01)
    first, second = member("a"), member("b")
    await enter(first)
    await enter(second)
    back, paused = asyncio.Event(), asyncio.Event()
    second.on_change = back.set
    second.on_pause = lambda _: paused.set()
    client = redis.Redis(port=server.port)
    both = [(b"headgate:{test}", 2)]
    while client.pubsub_numsub("headgate:{test}") != both:  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.01)
    client.client_kill_filter(_type="pubsub")
    client.close()
    await back.wait()
    await first.pause(time.monotonic() + 20)
    await paused.wait()


@pytest.mark.parametrize("database", [0, 1])
async def test_a_user_with_few_rights_is_enough(tmp_path: Path, database: int) -> None:
    """The documented ACL lets a member do all it has to, in any database."""
    (line,) = re.findall(r"(?m)^user (headgate on .+)$", (PAGES / "share.md").read_text("utf-8"))
    rights = line.replace("PASSWORD", "hush").split()
    async with redis_server(str(tmp_path), "--user", *rights, "--user", "default", "off") as server:
        ledger = RedisLedger(
            f"redis://headgate@127.0.0.1:{server.port}/{database}",
            pace=PACE,
            key="test",
            member="a",
            password="hush",
        )
        await enter(ledger)
        await ledger.reserve(2, SOON)
        await ledger.pause(time.monotonic() + 1)
        await ledger.aclose()
        wrong = RedisLedger(
            f"redis://headgate@127.0.0.1:{server.port}/0",
            pace=PACE,
            key="test",
            member="a",
            password="wrong",
        )
        with pytest.raises(LedgerError) as caught:
            await enter(wrong)
        assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
        await wrong.aclose()


def make_certificate(key: Path, certificate: Path) -> None:
    """One that signs itself, for this machine's loopback."""
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    made = ("-keyout", str(key), "-out", str(certificate), "-days", "1", "-addext", names)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=me", *made],
        check=True,
        capture_output=True,
    )


async def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    """`rediss://` checks the certificate against the authority that is named."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    arguments = (
        "--tls-cert-file",
        str(certificate),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(certificate),
        "--tls-auth-clients",
        "no",
    )
    async with redis_server(str(tmp_path), *arguments, tls=True) as server:
        url = f"rediss://127.0.0.1:{server.port}/0"
        trusting = RedisLedger(url, pace=PACE, key="t", member="a", ca_file=str(certificate))
        await enter(trusting)
        assert (await trusting.reserve(1, SOON)).instants
        await trusting.aclose()
        stranger = RedisLedger(url, pace=PACE, key="t", member="b")
        with pytest.raises(LedgerError, match=r"(?i)certificate"):
            await enter(stranger)
        await stranger.aclose()
