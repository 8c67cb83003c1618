"""Rows about strangers: what a good caller notices of them, and what memory they leave behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.production.calls import in_words
from bench.production.gateway import UNLIMITED, gateway, program, upstream
from headgate.security.tokens import new_token
from support.certificates import Authority, Files
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.production.gateway import Program

RATE = 200.0
GOOD_RATE = 30.0
QUIET = 10.0
# Who came before: as many at once as ever, so what the first of their kind make is no growth.
EARLIER = 1_500
# By then the gateway has closed what strangers left open, and has tidied up.
AFTERMATH = 22.0
TIMES, MORE = 2.0, 0.1


class Round(NamedTuple):
    """One attack.

    Attributes:
        quiet: the good caller's p90 before it, seconds.
        p90: during it.
        failed: other ends of the good caller's calls.
        categories: of the strikes.
        odd: strikes that did not end as they should.
        growth: of the gateway's memory since before the first attack.
        processor: the share of a core that the gateway used.
    """

    quiet: float
    p90: float
    failed: Counter[str]
    categories: Counter[str]
    odd: Counter[str]
    growth: float
    processor: float


async def strangers(count: int, runs: int, *, tls: bool) -> AsyncIterator[Row]:
    """So many in each run, over both faces at once, on one gateway that has seen some before."""
    with TemporaryDirectory() as folder:
        rounds = [one async for one in _rounds(Path(folder), count, runs, tls=tls)]
    for row in _rows(rounds, count, "TLS" if tls else "plain text"):
        yield row


def _rows(rounds: list[Round], count: int, how: str) -> list[Row]:
    ratio = median(one.p90 / one.quiet for one in rounds)
    growth = rounds[-1].growth
    growths = ", ".join(f"{one.growth:+.1%}" for one in rounds)
    failed = sum((one.failed for one in rounds), Counter[str]())
    odd = sum((one.odd for one in rounds), Counter[str]())
    before, during = (median(one.quiet for one in rounds), median(one.p90 for one in rounds))
    busy = median(one.processor for one in rounds)
    name = f"{count:,} strangers at {RATE:g}/s, {how} ({in_words(rounds[0].categories)})"
    return [
        Row(
            f"{name}: a good caller",
            f"p90 within {TIMES:g} times its quiet p90, no call failed",
            f"{ratio:.2f} times: {during * 1000:.1f} against {before * 1000:.1f} ms (medians of"
            f" {len(rounds)}; the gateway used {busy:.0%} of a core);"
            f" failed: {in_words(failed)}; strikes with another end than due: {in_words(odd)}",
            ratio <= TIMES and not failed and not odd,
        ),
        Row(
            f"{name}: memory",
            f"back within {MORE:.0%} of what it was, with {EARLIER:,} strangers before",
            f"{growths} after each attack in turn",
            growth <= MORE,
        ),
    ]


async def _rounds(folder: Path, count: int, runs: int, *, tls: bool) -> AsyncIterator[Round]:
    authority = Authority()
    files = Files(folder, authority.server())
    token, line = new_token("good")
    (folder / "tokens").write_text(f"{line}\n", encoding="utf-8")
    flags = [
        *UNLIMITED,
        *("--http-listen", "127.0.0.1:0", "--auth.required", "true"),
        *("--auth.tokens_file", str(folder / "tokens"), "--metrics.listen", "127.0.0.1:0"),
    ]
    if tls:
        flags += ["--tls.cert_file", str(files.certificate), "--tls.key_file", str(files.key)]
    async with upstream() as port, gateway(port, *flags) as running:
        who = {
            "addresses": [running.addresses["grpc"], running.addresses["http"]],
            "token": token,
            "authority": authority.pem.decode() if tls else "",
        }
        earlier, evil = (
            json.dumps(who | {"rate": RATE, "count": many}) for many in (EARLIER, count)
        )
        async with program("good_caller.py", json.dumps(who | {"rate": GOOD_RATE})) as caller:
            async with program("attackers.py", earlier) as attackers:
                await attackers.says()
            quiet = await _quiet(caller)
            memory = running.memory()
            for _ in range(runs):
                used, began = running.processor(), time.monotonic()
                async with program("attackers.py", evil) as attackers:
                    attack = await attackers.says()
                    during = await caller.tells()
                busy = (running.processor() - used) / (time.monotonic() - began)
                after = await _quiet(caller)
                failed = Counter(during["failed"]) + Counter(after["failed"])
                yield Round(
                    _p90(quiet["seconds"]),
                    _p90(during["seconds"]),
                    failed,
                    Counter(attack["categories"]),
                    Counter(attack["odd"]),
                    running.memory() / memory - 1,
                    busy,
                )
                quiet = after


async def _quiet(caller: Program) -> Any:
    """What the caller sees once the strangers have gone."""
    await asyncio.sleep(AFTERMATH - QUIET)
    await caller.tells()
    await asyncio.sleep(QUIET)
    return await caller.tells()


def _p90(seconds: list[float]) -> float:
    return quantiles(seconds, n=10)[-1]
