"""Rows about what an upstream does wrong: cuts at every byte, faults before the answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import grpc

from faulty import CUT, FAULTS, FINISHED_AT, RECORDED, TEXT
from headgate.v1 import chat_pb2_grpc
from scene import (
    UNLIMITED,
    ask,
    gateway,
    next_event,
    reason,
    scene,
    trailer,
)
from support.ports import free_port
from support.raw_upstream import RawUpstream, says
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scene import Stub

ONCE = (*UNLIMITED, "--retry.max_attempts", "1")
SIZES = (1, 7, 100_000)
AT_ONCE = 16
# Here every call needs its retries, so the budget must not say no.
PATIENT = (
    *UNLIMITED,
    *("--retry.initial_backoff", "0.01", "--retry.max_backoff", "0.01"),
    *("--retry.budget", "10", "--upstream.first_token_timeout", "0.3"),
)
STATUS = {
    "429": ("RESOURCE_EXHAUSTED", "UPSTREAM_LIMIT"),
    "timeout": ("UNAVAILABLE", "UPSTREAM_TIMEOUT"),
}
ELSE = ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")


class End(NamedTuple):
    """How a stream ended, and what had come until then."""

    code: str
    reason: str
    text: str
    finished: int
    positions: list[int]
    attempts: int
    pushback: str


async def stream(stub: Stub, model: str, user: str) -> End:
    call = stub.StreamChat(ask(model, user), timeout=30)
    said, finished, positions, attempts = "", 0, [], 0
    code, why, pushback = "OK", "", ""
    try:
        while (event := await next_event(call)) is not None:
            said += event.delta.content
            finished += event.HasField("finished")
            attempts = event.finished.gateway.attempts
            if event.HasField("delta"):
                positions.append(event.delta.position)
    except grpc.aio.AioRpcError as error:
        code, why = error.code().name, reason(error)
        pushback = trailer(error, "grpc-retry-pushback-ms")
    return End(code, why, said, finished, positions, attempts, pushback)


async def cut(step: int) -> AsyncIterator[Row]:
    """The upstream cut at every `step`-th byte offset of a recorded stream."""
    cases = [
        (offset, size, way)
        for offset in range(0, len(RECORDED) + 1, step)
        for size in SIZES
        for way in CUT
    ]
    wrong: list[str] = []
    async with scene(*ONCE) as stage:
        stub = stage.stub()

        async def worker(mine: Iterator[tuple[int, int, str]]) -> None:
            for offset, size, way in mine:
                end = await stream(stub, "cut", f"{offset}/{size}/{way}/x")
                if fault := _wrong(end, offset, way):
                    wrong.append(f"{offset}/{size}/{way}: {fault}")

        shared = iter(cases)
        await asyncio.gather(*(worker(shared) for _ in range(AT_ONCE)))
        seen = len((await stage.quiet()).arrivals)
    first = f" (first: {wrong[0]})" if wrong else ""
    yield Row(
        f"the upstream cut at every {'' if step == 1 else f'{step}th '}byte of {len(RECORDED)},"
        f" closed or reset, in pieces of {SIZES} bytes",
        "before the finish never OK, after it OK; always a prefix, no delta twice",
        f"{len(cases):,} cases, {seen:,} attempts, {len(wrong)} wrong{first}",
        not wrong and seen == len(cases),
    )


def _wrong(end: End, offset: int, way: str) -> str:
    """What promise 2 does not allow, in a word; empty: all is well."""
    if not TEXT.startswith(end.text):
        return f"the text {end.text!r} is no prefix"
    if end.positions != sorted(set(end.positions)):
        return f"positions {end.positions}"
    if end.finished != (end.code == "OK"):
        return f"{end.finished} finished with {end.code}"
    if offset < FINISHED_AT:
        begun = ("ABORTED", "STREAM_INTERRUPTED") if end.positions else ELSE
        return "" if (end.code, end.reason) == begun else f"{end.code} {end.reason}"
    # A reset may take away what the socket had not handed over; a close may not.
    well = (end.code, end.text) == ("OK", TEXT)
    return "" if well or way == "reset" else f"{end.code} with {end.text!r}"


async def faults() -> AsyncIterator[Row]:
    """Each fault twice, then well; and once more."""
    bad: list[str] = []
    async with scene(*PATIENT) as stage:
        stub = stage.stub()
        for name in FAULTS:
            for times in (2, 3):
                user = f"{name}/{times}/x"
                end = await stream(stub, "fault", user)
                seen = sum(who == user for _, who in (await stage.report()).arrivals)
                if not _as_promised(end, name, times) or seen != 3:
                    bad.append(f"{name} {times} times: {seen} attempts, {end.code} {end.reason}")
    for times in (2, 3):
        end = await _refused(times)
        if not _as_promised(end, "refused", times):
            bad.append(f"refused {times} times: {end.attempts} attempts, {end.code} {end.reason}")
    names = ", ".join([*FAULTS, "refused"])
    yield Row(
        f"{names}: twice, then well; once more",
        "OK after exactly three attempts; three attempts and the status of the table",
        f"{2 * len(FAULTS) + 2} cases, {len(bad)} wrong{': ' + bad[0] if bad else ''}",
        not bad,
    )


def _as_promised(end: End, name: str, times: int) -> bool:
    if times < 3:
        return (end.code, end.text, end.attempts) == ("OK", "well", 3)
    return (end.code, end.reason, end.pushback) == (*STATUS.get(name, ELSE), "-1")


async def _refused(times: int) -> End:
    """Connections refused so many times, because nobody listens; then somebody does.

    Attempts that are refused leave no trace but in the kernel's count. The last backoff may have
    been shorter than opening a port, and other programs are counted too: then once more.
    """
    for _ in range(5):
        port, before = free_port(), _refused_so_far()
        flags = (*PATIENT, "--retry.initial_backoff", "2", "--retry.max_backoff", "2")
        async with gateway(port, *flags) as (_, address):
            call = asyncio.create_task(_one_call(address))
            if times == 3:
                return await call
            while (refused := _refused_so_far() - before) < times:  # noqa: ASYNC110 - the kernel sets no event
                await asyncio.sleep(0.005)
            async with RawUpstream(says("well"), port=port) as upstream:
                end = await call
                if refused == times and end.attempts == times + len(upstream.requests):
                    return end
    raise RuntimeError("other programs have too many connections refused to count ours")


async def _one_call(address: str) -> End:
    async with grpc.aio.insecure_channel(address) as channel:
        return await stream(cast("Stub", chat_pb2_grpc.ChatServiceStub(channel)), "ok", "refused")


def _refused_so_far() -> int:
    """Connections of this machine that were not made, as the kernel counts (RFC 4022)."""
    text = Path("/proc/net/snmp").read_text(encoding="ascii")
    names, values = (line.split() for line in text.splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("AttemptFails")])
