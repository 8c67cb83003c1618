"""What the load generator does: streams that stand open, calls that arrive, a mixture of all."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from bench.cost.answers import Answer, Tally
from bench.cost.callers import caller
from bench.cost.process import Process, cpu, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.cost.callers import Caller, Target

Pids = dict[str, list[int]]
PATIENCE = 30.0


class Watch:
    """CPU and memory of processes by name, between `begin` and `end`."""

    def __init__(self, pids: Pids) -> None:
        self._groups = {name: [Process(pid) for pid in group] for name, group in pids.items()}
        self._groups["load"] = [Process(os.getpid())]

    def begin(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._cpu = self._read()

    def _read(self) -> dict[str, list[float]]:
        return {name: [cpu([process]) for process in group] for name, group in self._groups.items()}

    def end(self) -> dict[str, Any]:
        """Seconds of the wall and of CPU; of each process where a group has several."""
        after = self._read()
        each = {
            name: [late - early for early, late in zip(self._cpu[name], group, strict=True)]
            for name, group in after.items()
        }
        seconds = asyncio.get_running_loop().time() - self._began
        return {"seconds": seconds, "cpu": {name: sum(used) for name, used in each.items()}}

    def memory(self) -> dict[str, int]:
        return {name: memory(group) for name, group in self._groups.items()}


async def streams(
    target: Target,
    pids: Pids,
    *,
    model: str,
    streams: int,
    tokens: int,
    ramp: float,
    settle: float,
    window: float,
    finish: bool = True,
    at_once: int = 1000,
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """Open streams evenly over the ramp, look at them for a window, and wait for their end.

    Args:
        target: what is called.
        pids: whose CPU and memory is of interest.
        model: see mock.py.
        streams: how many.
        tokens: of each stream.
        ramp: seconds to open all of them in.
        settle: seconds between the last stream's first token and the window.
        window: seconds to look.
        finish: wait until all have ended; else they are left behind.
        at_once: streams that may be without their first token at once.
        patience: seconds to wait for all first tokens, and for all ends.
    """
    tally, watch, line = Tally(), Watch(pids), await _opened(target)
    before = watch.memory()
    crowd = _Crowd(line, tally, at_once)
    await crowd.open(streams, ramp, model=model, tokens=tokens)
    await crowd.started(patience)
    await asyncio.sleep(settle)
    early_tokens, early_messages = tally.tokens, tally.messages
    tally.timed = model == "paced"
    watch.begin()
    await asyncio.sleep(window)
    made = watch.end()
    tally.timed = False
    made |= {
        "tokens": tally.tokens - early_tokens,
        "messages": tally.messages - early_messages,
        "delay": percentiles([delay / 1e3 for delay in tally.delays]),
        "memory": {name: [before[name], after] for name, after in watch.memory().items()},
        "started": crowd.begun,
        "complete": None,
        "failures": crowd.failures(),
    }
    if finish:
        await crowd.ended(patience)
        made |= {"complete": crowd.complete(tokens), "failures": crowd.failures()}
    line.close()
    return made


class _Crowd:
    """Streams that run at the same time."""

    def __init__(self, line: Caller, tally: Tally, at_once: int) -> None:
        self._line = line
        self._tally = tally
        self._answers: list[Answer] = []
        self._room = asyncio.Semaphore(at_once)
        self._changed = asyncio.Event()
        self.begun = 0
        self._over = 0

    async def open(self, count: int, ramp: float, *, model: str, tokens: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(count):
            if (wait := began + ramp * number / count - loop.time()) > 0:
                await asyncio.sleep(wait)
            await asyncio.wait_for(self._room.acquire(), PATIENCE)
            answer = Answer(self._tally, self._on_end, self._on_first)
            self._answers.append(answer)
            self._line.begin(answer, model=model, tokens=tokens, stream=True)

    def _on_first(self) -> None:
        self.begun += 1
        self._room.release()
        self._changed.set()

    def _on_end(self, answer: Answer) -> None:
        self._over += 1
        if not answer.tokens:
            self._on_first()
        self._changed.set()

    async def started(self, patience: float) -> None:
        await self._until(lambda: self.begun >= len(self._answers), patience)

    async def ended(self, patience: float) -> None:
        await self._until(lambda: self._over >= len(self._answers), patience)

    async def _until(self, condition: Callable[[], bool], patience: float) -> None:
        """Or until patience is at an end, which the counts then tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()

    def complete(self, tokens: int) -> int:
        """Streams that ended well with all of their tokens."""
        return sum(
            answer.over and not answer.failure and answer.tokens == tokens
            for answer in self._answers
        )

    def failures(self) -> dict[str, int]:
        return dict(Counter(a.failure for a in self._answers if a.failure).most_common(3))


async def arrivals(
    flows: list[dict[str, Any]], pids: Pids, *, rate: float, seconds: float, warm: float = 2.0
) -> dict[str, Any]:
    """Calls that arrive as a Poisson process, of each flow at the same rate and time.

    Latencies count from the instant at which a call was due, whenever it was sent (no coordinated
    omission). A flow has a `target`, the `model`, `tokens`, and whether it is a `stream`; of a
    stream the latency is that of its first token.
    """
    watch = Watch(pids)
    made = [_Flow(number, **flow) for number, flow in enumerate(flows)]
    for flow in made:
        await flow.line.open()
    await asyncio.gather(*(flow.run(rate, warm) for flow in made))
    for flow in made:
        flow.forget()
    watch.begin()
    await asyncio.gather(*(flow.run(rate, seconds) for flow in made))
    said = watch.end()
    said["flows"] = [flow.report() for flow in made]
    for flow in made:
        flow.line.close()
    return said


class _Flow:
    """Calls of one kind."""

    def __init__(self, seed: int, target: Target, model: str, tokens: int, stream: bool) -> None:
        self.line = caller(target)
        self._random = random.Random(seed)
        self._kind: dict[str, Any] = {"model": model, "tokens": tokens, "stream": stream}
        self._tally = Tally()
        self._loop = asyncio.get_running_loop()
        self._clock = time.monotonic
        self._ended = asyncio.Event()
        self.forget()

    def forget(self) -> None:
        self._latencies: list[float] = []
        self._failures: Counter[str] = Counter()
        self._made = 0
        self._late: list[float] = []
        self._running: set[Answer] = set()

    async def run(self, rate: float, seconds: float) -> None:
        await asyncio.to_thread(self._ring, rate, self._clock() + seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._running:
                    self._ended.clear()
                    await self._ended.wait()
        if self._running:
            self._failures[f"no answer within {PATIENCE:.0f} s"] = len(self._running)

    def _ring(self, rate: float, stop: float) -> None:
        """Call when calls are due; in a thread, whose sleep is exact, where a loop's is in ms."""
        due = self._clock()
        while (due := due + self._random.expovariate(rate)) < stop:
            time.sleep(max(0.0, due - self._clock()))
            self._loop.call_soon_threadsafe(self._call, due)

    def _call(self, due: float) -> None:
        self._made += 1
        self._late.append(self._clock() - due)
        stream = self._kind["stream"]

        def took() -> None:
            self._latencies.append(self._clock() - due)

        def ended(answer: Answer) -> None:
            self._running.discard(answer)
            self._ended.set()
            if answer.failure:
                self._failures[answer.failure] += 1
            elif not stream:
                took()

        answer = Answer(self._tally, ended, took if stream else None)
        self._running.add(answer)
        self.line.begin(answer, **self._kind)

    def report(self) -> dict[str, Any]:
        return {
            "calls": self._made,
            "tokens": self._tally.tokens,
            "late": percentiles([late * 1e3 for late in self._late]),
            "failures": dict(self._failures.most_common(3)),
            "latency": percentiles([latency * 1e3 for latency in self._latencies]),
        }


async def mixture(
    target: Target,
    pids: Pids,
    *,
    kinds: Sequence[Sequence[Any]],
    calls: int,
    at_once: int,
    every: int,
) -> dict[str, Any]:
    """So many calls, a number of them at once, of kinds drawn by weight; memory now and then.

    Args:
        target: what is called.
        pids: whose CPU and memory is of interest.
        kinds: weight, model, tokens, stream, and after how many tokens the caller cancels
            (0: never).
        calls: how many.
        at_once: of them.
        every: after how many calls to look at the memory.
    """
    watch, line = Watch(pids), await _opened(target)
    made = _Mixture(line, kinds)
    sizes = []
    watch.begin()
    for _ in range(calls // every):
        await made.run(every, at_once)
        sizes.append({name: size for name, size in watch.memory().items() if name in pids})
    said = watch.end()
    line.close()
    return said | {"memory": sizes, "ends": dict(made.ends), "calls": calls}


class _Mixture:
    def __init__(self, line: Caller, kinds: Sequence[Sequence[Any]]) -> None:
        self._line = line
        self._kinds = kinds
        self._weights = [kind[0] for kind in kinds]
        self._random = random.Random(6)
        self._tally = Tally()
        self.ends: Counter[str] = Counter()

    async def run(self, calls: int, at_once: int) -> None:
        left = iter(range(calls))
        await asyncio.gather(*(self._caller(left) for _ in range(at_once)))

    async def _caller(self, left: Iterable[int]) -> None:
        loop = asyncio.get_running_loop()
        for _ in left:
            _, model, tokens, stream, cancel_after = self._random.choices(
                self._kinds, self._weights
            )[0]
            ended: asyncio.Future[str] = loop.create_future()
            answer = Answer(self._tally, partial(_tell, ended))
            cancel = self._line.begin(answer, model=model, tokens=tokens, stream=stream)
            if cancel_after:
                # Soon enough to hit every phase: sending, waiting, streaming.
                loop.call_later(self._random.uniform(0, cancel_after), cancel)
            async with asyncio.timeout(PATIENCE):
                failure = await ended
            self.ends[f"{model}: {failure[:60] or 'OK'}"] += 1


def _tell(ended: asyncio.Future[str], answer: Answer) -> None:
    ended.set_result(answer.failure)


async def _opened(target: Target) -> Caller:
    line = caller(target)
    await line.open()
    return line


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the largest; empty if there are too few values."""
    if len(values) < 2:
        return {}
    cut = quantiles(values, n=100, method="inclusive")
    return {"p50": cut[49], "p90": cut[89], "p99": cut[98], "max": max(values)}
