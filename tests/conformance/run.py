"""Runs cases: a lane is one language's program in front of one gateway of its own."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from busy import Busy, in_line
from cases import line_of
from compare import differences, upstream_differences
from fits import fits
from gateways import GatewayError, StartError
from programs import ProgramError, Seat
from service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from cases import Case, Step, Suite
    from papers import Papers
    from programs import Language, Program
    from upstream import ConformanceUpstream

# Promise 6: the upstream hears of a caller that has gone within this time.
CANCEL_SECONDS = 1.0
# What the kit itself waits for at the upstream before it does something to the gateway.
ARRIVAL_SECONDS = 20.0


@dataclass
class Outcome:
    """One cell of the table.

    Attributes:
        differences: empty when all was as expected.
        unsupported: why the language does not run the case; empty when it does.
    """

    language: str
    case: str
    differences: list[str] = field(default_factory=list)
    unsupported: str = ""
    seconds: float = 0.0


class _Scene(NamedTuple):
    """Where a step is taken; `before` is what was seen in the step before."""

    key: str
    gateway: Service
    program: Program
    before: list[dict[str, Any]]


class Runner:
    """Runs every case for every language.

    Args:
        suite: cases and gateways.
        upstream: running.
        papers: certificates and tokens.
        lanes: how many lanes run at the same time.
        tell: is told every outcome.
    """

    def __init__(
        self,
        suite: Suite,
        upstream: ConformanceUpstream,
        papers: Papers,
        *,
        lanes: int,
        tell: Callable[[Outcome], None],
    ) -> None:
        self._suite = suite
        self._upstream = upstream
        self._papers = papers
        self._room = asyncio.Semaphore(lanes)
        self._tell = tell
        self._numbers = 0

    async def run(self, languages: Iterable[Language], cases: Iterable[Case]) -> list[Outcome]:
        """All of them: first what does not mind company, then what wants quiet, one by one.

        Raises:
            StartError: a gateway did not start.
        """
        languages, cases = list(languages), list(cases)
        busy = [
            (language, name, [c for c in cases if c.gateway == name and not c.quiet])
            for name in self._suite.gateways
            for language in languages
        ]
        outcomes = await _all(self._lane(*lane) for lane in busy)
        for name in self._suite.gateways:
            wanting = [c for c in cases if c.gateway == name and c.quiet]
            outcomes += [await self._lane(language, name, wanting) for language in languages]
        return [outcome for lane in outcomes for outcome in lane]

    async def _lane(self, language: Language, gateway: str, cases: list[Case]) -> list[Outcome]:
        """The cases of one language at one gateway: those that share it first."""
        outcomes = [
            Outcome(language.name, case.name, unsupported=language.unsupported[case.name])
            for case in cases
            if case.name in language.unsupported
        ]
        for outcome in outcomes:
            self._tell(outcome)
        able = [case for case in cases if case.name not in language.unsupported]
        shared = [case for case in able if not case.fresh]
        async with self._room:
            while shared:
                done = await self._visit(language, gateway, shared)
                outcomes += done
                shared = shared[len(done) :]
            for case in able:
                if case.fresh:
                    outcomes += await self._visit(language, gateway, [case])
        return outcomes

    async def _visit(self, language: Language, name: str, cases: list[Case]) -> list[Outcome]:
        """As many cases as one program and one gateway live to see; at least one."""
        outcomes: list[Outcome] = []
        try:
            kind = self._suite.gateways[name]
            async with (
                Service(kind, self._upstream.url, self._papers) as gateway,
                Seat(language, gateway.address, self._papers.fill) as seat,
            ):
                for case in cases:
                    outcomes.append(await self._case(language, case, gateway, seat))
                    self._tell(outcomes[-1])
        except StartError:
            raise
        except (ProgramError, GatewayError) as error:
            if len(outcomes) < len(cases):
                failed = Outcome(language.name, cases[len(outcomes)].name, [str(error)])
                outcomes.append(failed)
            else:
                outcomes[-1].differences.append(str(error))
            self._tell(outcomes[-1])
        return outcomes

    async def _case(self, language: Language, case: Case, gateway: Service, seat: Seat) -> Outcome:
        began = time.monotonic()
        self._numbers += 1
        key = f"{case.name}/{language.name}/{self._numbers}"
        lines: list[str] = []
        told: list[dict[str, Any]] = []
        for number, step in enumerate(case.steps, 1):
            if step.tokens is not None:
                await gateway.count(step.tokens)
            options = self._suite.gateways[case.gateway].options
            program = await seat.program(options if step.options is None else step.options)
            line = step.call and line_of(case.name, step.call, key)
            scene = _Scene(key, gateway, program, told)
            told, took_ms = await self._take(step, line, scene)
            lacking = language.cannot_fill
            found = differences(step, told, cannot_fill=lacking, took_ms=took_ms)
            found += upstream_differences(step.upstream, self._upstream.attempts(key))
            if step.sent_away is not None:
                sent_away = await gateway.sent_away(step.sent_away)
                found += fits(step.sent_away, sent_away, "sent_away")
            prefix = f"step {number}: " if len(case.steps) > 1 else ""
            lines += [prefix + text for text in found]
        return Outcome(language.name, case.name, lines, seconds=time.monotonic() - began)

    async def _take(
        self, step: Step, line: dict[str, Any] | None, scene: _Scene
    ) -> tuple[list[dict[str, Any]], float]:
        """Make the call, if there is one, in the surroundings that the step describes.

        Returns:
            What the program saw, and how long it took for it, in milliseconds.
        """
        key, gateway = scene.key, scene.gateway
        async with AsyncExitStack() as stack:
            if step.busy is not None:
                busy = Busy(gateway.address, self._upstream, key, step.busy)
                await stack.enter_async_context(busy)
            if step.gateway is not None:
                await gateway.do(step.gateway)
            await _pause(step, scene.before)
            if line is None:
                return [], 0.0
            if step.meanwhile is not None:
                await stack.enter_async_context(self._meanwhile(step, key, gateway))
            called = time.monotonic()
            seen = await scene.program.make(line)
            took_ms = (time.monotonic() - called) * 1000
            if step.busy is not None and "cancel" in line:
                # Who has left the queue has to be out of it before there is room.
                await asyncio.sleep(CANCEL_SECONDS)
            if step.upstream.get("cancelled"):
                await self._upstream.until(lambda: self._gone(key), CANCEL_SECONDS)
        return seen, took_ms

    def _gone(self, key: str) -> bool:
        attempts = self._upstream.attempts(key)
        return bool(attempts) and attempts[-1].gone_at is not None

    @asynccontextmanager
    async def _meanwhile(self, step: Step, key: str, gateway: Service) -> AsyncIterator[None]:
        """Do something to the gateway while the call is made."""
        task = asyncio.create_task(self._do(step, key, gateway))
        try:
            yield
        finally:
            await task

    async def _do(self, step: Step, key: str, gateway: Service) -> None:
        assert step.meanwhile is not None
        assert step.call is not None
        what, attempts = step.meanwhile, self._upstream.attempts(key)
        if what["when"] == "in_line":
            await in_line(gateway.address, step.call.get("count", 1))
        if what["when"] == "speaking":
            await self._upstream.until(
                lambda: any(attempt.speaking.is_set() for attempt in attempts), ARRIVAL_SECONDS
            )
        await asyncio.sleep(what.get("after_ms", 100) / 1000)
        await gateway.do(what["do"])


async def _all(lanes: Iterable[Coroutine[Any, Any, list[Outcome]]]) -> list[list[Outcome]]:
    """Run them side by side; the first error ends all of them."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(lane) for lane in lanes]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


async def _pause(step: Step, told: list[dict[str, Any]]) -> None:
    """What a well-behaved caller does between two calls."""
    if step.wait == "retry_delay":
        delays = [seen.get("retry_delay_ms") or 0 for seen in told]
        await asyncio.sleep(max(delays, default=0) / 1000)
    elif isinstance(step.wait, int | float):
        await asyncio.sleep(step.wait / 1000)
