"""The upstream of the traffic bench, a process of its own: records when requests arrive.

`python recorder.py` prints its port. What it does with a request is chosen by the model's name:
`ok` answers at once, `fail` says 500, `silent` never answers, `head` stops after the role,
`stream` sends words until the client goes. `GET /report` tells what it saw since the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.raw_upstream import (
    DONE,
    Connection,
    RawUpstream,
    Request,
    chunked,
    delta,
    event,
    finish,
    response,
    says,
    stream_head,
)

TICK = 0.01


class Recorder:
    """Arrivals as (monotonic seconds, user) pairs, requests under way, and its own lateness."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, str]] = []
        self.running = 0
        self.late: list[float] = []

    async def __call__(self, request: Request, connection: Connection) -> None:
        if request.path == "/report":
            await connection.send(response(self.report()))
            return
        body = request.json
        self.arrivals.append((request.at, body.get("user", "")))
        self.running += 1
        try:
            await MODES[body["model"]](request, connection)
        finally:
            self.running -= 1

    def report(self) -> bytes:
        seen = {"arrivals": self.arrivals, "running": self.running, "late": sorted(self.late)}
        self.arrivals, self.late = [], []
        return json.dumps(seen).encode()

    async def watch_itself(self) -> None:
        """How late this process wakes up is how wrong its record can be."""
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.late.append(max(0.0, time.monotonic() - due))


async def _fail(_: Request, connection: Connection) -> None:
    await connection.send(response(b'{"error":{"message":"always"}}', status="500 No"))


async def _silent(_: Request, connection: Connection) -> None:
    await connection.until_gone()
    connection.writer.close()


async def _head(request: Request, connection: Connection) -> None:
    await connection.send(stream_head(), chunked(event(delta(role="assistant"))))
    await _silent(request, connection)


async def _stream(_: Request, connection: Connection) -> None:
    await connection.send(stream_head())
    for _word in range(500):
        await connection.send(chunked(event(delta("word " * 20))))
        await asyncio.sleep(TICK)
    await connection.send(chunked(event(finish()) + DONE), b"0\r\n\r\n")


MODES = {"ok": says("well"), "fail": _fail, "silent": _silent, "head": _head, "stream": _stream}


async def main() -> None:
    recorder = Recorder()
    async with RawUpstream(recorder) as upstream:
        sys.stdout.write(f"{upstream.port}\n")
        sys.stdout.flush()
        await recorder.watch_itself()


if __name__ == "__main__":
    asyncio.run(main())
