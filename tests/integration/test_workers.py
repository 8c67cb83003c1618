"""Several processes on one port: one limit, one that dies, one that hangs, and the end of all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from headgate.workers.crew import Crew
from headgate.workers.messages import Stop
from support.gateway import Caller, kinds, text
from support.processes import clean_environment
from support.raw_upstream import (
    DONE,
    END,
    RawUpstream,
    answers,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
)
from support.redis_server import needs_redis, redis_server
from support.traffic import GAP, gaps
from support.workers import Company, Connections, command, workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from headgate.workers.messages import LedgerCall, LedgerNews
    from support.raw_upstream import Connection, Request

    Script = Callable[[Request, Connection], Awaitable[None]]
    Stream = grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse]

# A margin that a busy test machine does not use up.
PACE: dict[str, Any] = {"rate": 20, "min_interval": GAP, "margin": GAP}


def halting(release: asyncio.Event) -> Script:
    """Says a word, and the rest when it is released."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("begun "))))
        await release.wait()
        rest = chunked(event(delta("done")) + event(finish()) + DONE)
        await connection.send(rest, END)

    return script


async def begun(caller: Caller) -> Stream:
    """A stream whose first word has come."""
    stream = caller.stream(timeout=50)
    while not (await _next(stream)).delta.content:
        pass
    return stream


async def _next(stream: Stream) -> pb.StreamChatResponse:
    received = await stream.read()
    assert isinstance(received, pb.StreamChatResponse), received
    return received


async def ending(stream: Stream) -> str:
    """What a begun stream went on to say, or its status."""
    events = []
    try:
        while isinstance(received := await stream.read(), pb.StreamChatResponse):
            events.append(received)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    assert kinds(events)[-1] == "finished"
    return text(events)


async def test_workers_share_port_and_limit() -> None:
    """Each has its connections, and the upstream sees one schedule."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE) as company,
    ):
        each = await company.of_each()
        calls = [caller.chat() for caller in each.values() for _ in range(8)]
        assert sorted(each) == [0, 1]
        assert len(await asyncio.gather(*calls)) == 16
        assert company.supervisor.keeper.members == [0, 1]
        assert min(company.granted().values()) >= 8

    assert min(gaps(upstream)) >= GAP


async def test_a_429_to_one_worker_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream counts them as one, so its advice is for all."""
    limited = answers(b"{}", status="429 Too Many", headers=["retry-after-ms: 400"])
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE) as company,
    ):
        each = await company.of_each()
        keeper, stopped = company.supervisor.keeper, asyncio.Event()
        hear = keeper.hear

        def listen(now: int, worker: int, call: LedgerCall) -> list[tuple[int, LedgerNews]]:
            if isinstance(call, Stop):
                stopped.set()
            return hear(now, worker, call)

        monkeypatch.setattr(keeper, "hear", listen)
        before = len(upstream.requests)
        upstream._scripts = [says("")] * before + [limited, says("Hello")]
        hit = asyncio.create_task(each[0].chat())
        await stopped.wait()
        await asyncio.gather(hit, *(each[1].chat() for _ in range(3)))

    arrivals = [request.at for request in upstream.requests[before:]]
    assert len(arrivals) == 5
    assert arrivals[1] - arrivals[0] >= 0.4


async def test_without_a_pace_nothing_is_shared() -> None:
    """And nothing is asked of the supervisor."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url) as company,
    ):
        answered = await asyncio.gather(*(company.caller().chat() for _ in range(8)))
        assert len(answered) == 8
        assert company.supervisor.keeper.members == []


async def test_the_http_face_is_shared_too() -> None:
    """On one port, chosen once."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, http_listen="127.0.0.1:0") as company,
    ):
        address = company.supervisor._settings.http_listen or ""
        host, _, port = address.rpartition(":")
        for _ in range(4):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_a_killed_worker_takes_its_own_calls_along_and_is_replaced() -> None:
    """With a status that may be retried; the others' streams go on, and new calls find both."""
    release = asyncio.Event()
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE) as company,
    ):
        each = await company.of_each()
        upstream._scripts = [halting(release)]
        lost = [await begun(each[0]) for _ in range(3)]
        kept = [await begun(each[1]) for _ in range(3)]
        before = company.supervisor.pids
        os.kill(before[0], signal.SIGKILL)
        assert [await ending(stream) for stream in lost] == ["UNAVAILABLE"] * 3
        release.set()
        assert [await ending(stream) for stream in kept] == ["done"] * 3
        upstream._scripts = [says("Hello")]
        await served_by_another(company, before[0])
        assert company.supervisor.pids[1] == before[1]

    assert min(gaps(upstream)) >= GAP


async def served_by_another(company: Company, old: int) -> None:
    """Calls on new connections until the process after `old` has had one of them as worker 0.

    They may meet a dead end, or be refused by `old` once it has a slot for them.
    """
    given = None
    while given is None or company.supervisor.keeper.granted(0) == given:
        if given is None and company.supervisor.pids.get(0, old) != old:
            given = company.supervisor.keeper.granted(0)
        try:
            await company.caller().chat(timeout=1)
        except grpc.aio.AioRpcError as error:
            codes = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
            assert error.code() in codes, error.details()  # noqa: PT017 - and others are fine


async def test_a_wedged_worker_is_replaced() -> None:
    """It would take its share of the connections and answer none."""
    crew = Crew(2, 15.0, beat=0.3)
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE, crew=crew) as company,
    ):
        await company.of_each()
        before = company.supervisor.pids
        os.kill(before[0], signal.SIGSTOP)
        await served_by_another(company, before[0])
        assert company.supervisor.pids[1] == before[1]


async def test_a_crash_loop_ends_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """And status 1; nobody is left who tries on."""
    dying = (sys.executable, "-c", "raise SystemExit(7)")
    with pytest.raises(AssertionError, match=r"^1$"):
        async with workers("http://127.0.0.1:1/", command=dying):
            pass
    said = capfd.readouterr().err.splitlines()
    [line] = [line for line in said if line.startswith("headgate: ")]
    assert line.startswith("headgate: worker ")
    assert "ended 4 times within 10 s of its start, the last time with exit status 7;" in line


def test_what_cannot_start_says_so_once() -> None:
    """As a single process: one line, status 2, and nobody left."""
    flags = ["--workers", "2", "--upstream", "http://h/api", "--listen", "127.0.0.1:0"]
    store = ["--throttle.store", "redis://127.0.0.1:1/0"]
    done = subprocess.run(
        [sys.executable, "-m", "headgate", "serve", *flags, *store],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("headgate: throttle.store: redis://127.0.0.1:1/0 cannot be")


async def of_both(connections: Connections, upstream: RawUpstream) -> list[Stream]:
    """Begun streams on connections enough that each worker has some."""
    del upstream
    return [await begun(connections.caller()) for _ in range(12)]


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
async def test_a_signal_drains_all(how: str) -> None:
    """Running streams finish, on every worker; Ctrl-C in a terminal goes to the whole group."""
    release = asyncio.Event()
    async with (
        RawUpstream(halting(release)) as upstream,
        command("--upstream", upstream.url) as running,
    ):
        streams = await of_both(running, upstream)
        if how == "SIGTERM":
            running.process.terminate()
        else:
            os.killpg(running.process.pid, signal.SIGINT)
        await refused_everywhere(running)
        release.set()
        ends = [await ending(stream) for stream in streams]
        rest = await running.rest()
        status = await running.process.wait()

    assert ends == ["done"] * 12
    assert (status, rest) == (0, "")


async def refused_everywhere(connections: Connections) -> None:
    """Until nobody listens any more: a drain has begun in all workers."""
    host, _, port = connections._address.rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue
        writer.close()


async def test_a_second_signal_ends_at_once() -> None:
    """Streams are cut, and the status says which signal it was."""
    async with (
        RawUpstream(halting(asyncio.Event())) as upstream,
        command("--upstream", upstream.url) as running,
    ):
        streams = await of_both(running, upstream)
        running.process.terminate()
        await refused_everywhere(running)
        running.process.terminate()
        ends = {await ending(stream) for stream in streams}
        rest = await running.rest()
        status = await running.process.wait()

    assert ends == {"UNAVAILABLE"}
    assert rest == "headgate: stopped at once by a second signal; running calls were cut\n"
    assert status == 143


async def test_workers_do_not_outlive_their_supervisor() -> None:
    """Killed, it can tell nobody; they let their calls finish, and go."""
    release = asyncio.Event()
    async with (
        RawUpstream(halting(release)) as upstream,
        command("--upstream", upstream.url) as running,
    ):
        streams = await of_both(running, upstream)
        running.process.kill()
        await refused_everywhere(running)
        release.set()
        ends = [await ending(stream) for stream in streams]
        rest = await running.rest()

    assert ends == ["done"] * 12
    assert rest == ""


async def test_a_worker_that_is_told_to_go_is_replaced() -> None:
    """By SIGTERM to it alone: it drains, which loses nothing, and another takes its place."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE) as company,
    ):
        await company.of_each()
        before = company.supervisor.pids
        os.kill(before[0], signal.SIGTERM)
        await served_by_another(company, before[0])


async def test_one_sandbox_for_all_workers() -> None:
    """`--sandbox` needs no upstream, with several workers too."""
    flags = ("--sandbox", "--sandbox.token_interval", "0")
    async with command(*flags) as running:
        answered = await asyncio.gather(*(running.caller().chat("Hello") for _ in range(6)))
        running.process.terminate()
        rest = await running.rest()
        status = await running.process.wait()

    assert all(answer.choices[0].message.content for answer in answered)
    assert running.said.count("grpc listening on") == 1
    assert f"2 workers (processes {', '.join(map(str, running.pids))}) share the port\n" in (
        running.said
    )
    assert (status, rest) == (0, "")


@needs_redis
async def test_workers_are_replicas_of_redis(tmp_path: Path) -> None:
    """Each by itself; one that takes another's place starts though Redis is away by then."""
    async with (
        redis_server(str(tmp_path)) as redis,
        RawUpstream(says("Hello")) as upstream,
        workers(upstream.url, throttle=PACE | {"store": redis.url}) as company,
    ):
        await asyncio.gather(*(company.caller().chat() for _ in range(8)))
        assert company.supervisor.keeper.members == []
        assert min(gaps(upstream)) >= GAP
        await redis.stop()
        before = company.supervisor.pids
        os.kill(before[0], signal.SIGKILL)
        ready = asyncio.Event()
        # Its process answers looks once it serves.
        crew = company.supervisor._crew
        alive = crew.alive

        def listen(worker: int, now: float) -> None:
            alive(worker, now)
            if company.supervisor.pids.get(worker) not in {*before.values(), None}:
                ready.set()

        crew.alive = listen  # type: ignore[method-assign]
        await ready.wait()
        await asyncio.gather(*(company.caller().chat() for _ in range(4)))


async def test_what_happens_to_workers_is_in_the_log() -> None:
    """JSON lines: which one ended and why, and who took its place."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        command("--upstream", upstream.url) as running,
    ):
        assert running.process.stderr is not None
        os.kill(running.pids[1], signal.SIGKILL)
        ended = json.loads(await running.process.stderr.readline())
        ready = json.loads(await running.process.stderr.readline())
        running.process.terminate()
        await running.rest()

    assert (ended["event"], ended["level"]) == ("worker_ended", "warning")
    assert (ended["worker"], ended["pid"], ended["why"]) == (1, running.pids[1], "by SIGKILL")
    assert (ready["event"], ready["worker"]) == ("worker_ready", 1)
    assert ready["pid"] not in running.pids
