"""The upstream of the traffic bench, a process of its own: it records when requests arrive.

It prints its port. What it does with a request is chosen by the model's
name (see MODES); `user` names the call. `GET /report` tells what it saw since the last report.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from faulty import CUT, FAULTS, RECORDED, Cut
from support.raw_upstream import (
    DONE,
    END,
    RawUpstream,
    chunked,
    delta,
    event,
    finish,
    response,
    says,
    stream_head,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.raw_upstream import Connection, Request

    Script = Callable[[Request, Connection], Awaitable[None]]

TICK = 0.01
# What it allows in mode `published`: the published limit, less its own possible error.
GAP, RATE, TOLERANCE = 0.5, 2, 0.001

well = says("well")
too_many = response(b'{"error":{"message":"too many"}}', status="429 Too Many Requests")


class Recorder:
    """Arrivals as (monotonic seconds, user) pairs, requests under way, and its own error."""

    def __init__(self) -> None:
        self.upstream: RawUpstream | None = None
        self.arrivals: list[tuple[float, str]] = []
        self.errors: list[float] = []
        self.refused = 0
        self.running = 0
        self._latest: list[float] = []
        self._faults: Counter[str] = Counter()
        self.modes: dict[str, Script] = {"published": self._published, "fault": self._fault} | MODES

    async def __call__(self, request: Request, connection: Connection) -> None:
        if request.path == "/report":
            await connection.send(response(self.report()))
        elif request.path.startswith("/probe/"):
            # The path says when it was sent: no record can be more wrong than the difference.
            self.errors.append(request.at - float(request.path.removeprefix("/probe/")))
            await connection.send(response())
        else:
            await self._record(request, connection)

    async def _record(self, request: Request, connection: Connection) -> None:
        body = request.json
        self.arrivals.append((request.at, body.get("user", "")))
        self.running += 1
        try:
            await self.modes[body["model"]](request, connection)
        finally:
            self.running -= 1

    def report(self) -> bytes:
        seen = {
            "arrivals": self.arrivals,
            "errors": self.errors,
            "refused": self.refused,
            "running": self.running,
            "open": self.upstream.open if self.upstream else 0,
        }
        self.arrivals, self.errors, self.refused = [], [], 0
        return json.dumps(seen).encode()

    async def _published(self, request: Request, connection: Connection) -> None:
        """Answers 429 to whoever breaks the published limit."""
        self._latest = [*self._latest[-RATE:], request.at]
        *earlier, now = self._latest
        too_close = bool(earlier) and now - earlier[-1] < GAP - TOLERANCE
        too_fast = len(earlier) >= RATE and now - earlier[-RATE] < 1 - TOLERANCE
        if too_close or too_fast:
            self.refused += 1
            await connection.send(too_many)
        else:
            await well(request, connection)

    async def _fault(self, request: Request, connection: Connection) -> None:
        """`user` is NAME/TIMES/KEY: the fault NAME so many times for this key, then well."""
        name, times, _ = request.json["user"].split("/")
        self._faults[request.json["user"]] += 1
        faulty = self._faults[request.json["user"]] <= int(times)
        await (FAULTS[name] if faulty else well)(request, connection)


async def _fail(_: Request, connection: Connection) -> None:
    await connection.send(response(b'{"error":{"message":"always"}}', status="500 No"))


async def _silent(_: Request, connection: Connection) -> None:
    await connection.until_gone()
    connection.writer.close()


async def _head(request: Request, connection: Connection) -> None:
    await connection.send(stream_head(), chunked(event(delta(role="assistant"))))
    await _silent(request, connection)


async def _stream(_: Request, connection: Connection) -> None:
    """A word every TICK; it notices on its next write that the client has gone."""
    await connection.send(stream_head())
    for number in range(3000):
        await connection.send(chunked(event(delta(f"word-{number} "))))
        await asyncio.sleep(TICK)
    await connection.send(chunked(event(finish()) + DONE), END)


async def _flood(_: Request, connection: Connection) -> None:
    """More than any window on the way takes, for a reader that does not read."""
    await connection.send(stream_head())
    piece = chunked(event(delta("x" * 60_000)))
    while True:
        await connection.send(piece)


async def _cut(request: Request, connection: Connection) -> None:
    """`user` is OFFSET/SIZE/WAY/KEY: the recorded stream up to the offset, in such pieces."""
    offset, size, way, _ = request.json["user"].split("/")
    await Cut(RECORDED, int(offset), int(size), reset=way == CUT[1])(request, connection)


MODES: dict[str, Script] = {
    "ok": well,
    "fail": _fail,
    "silent": _silent,
    "head": _head,
    "stream": _stream,
    "flood": _flood,
    "cut": _cut,
}


async def main() -> None:
    recorder = Recorder()
    async with RawUpstream(recorder, port=int(sys.argv[1])) as upstream:
        recorder.upstream = upstream
        sys.stdout.write(f"{upstream.port}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


def probe_path() -> str:
    """The path of a probe that is sent now."""
    return f"/probe/{time.monotonic()!r}"


if __name__ == "__main__":
    asyncio.run(main())
