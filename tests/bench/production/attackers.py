"""The strangers of the production bench, a process of its own.

Its argument is a JSON object (see `strangers`). It strikes at a steady pace, so that it is the
gateway and not this machine that is measured, and says at the end how the strikes ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections import Counter

import uvloop

from support.strangers import OVER_GRPC, OVER_HTTP, Kind, Target

NICE = 10
STRIKE_PATIENCE = 30.0


async def attack(addresses: list[str], token: str, authority: str, count: int, rate: float) -> None:
    """Take all kinds in turn, on both faces alike."""
    grpc, http = (
        Target(address, token, _context(authority, protocol))
        for address, protocol in zip(addresses, ("h2", "http/1.1"), strict=True)
    )
    kinds = [(kind, grpc) for kind in OVER_GRPC] + [(kind, http) for kind in OVER_HTTP]
    categories: Counter[str] = Counter()
    odd: Counter[str] = Counter()

    async def strike(kind: Kind, target: Target) -> None:
        try:
            async with asyncio.timeout(STRIKE_PATIENCE):
                end = await kind.strike(target)
        except (OSError, TimeoutError) as error:
            end = repr(error)
        categories[kind.category] += 1
        if end not in kind.ends:
            odd[f"{kind.strike.__name__}: {end}"] += 1

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(began + number / rate - loop.time())
            group.create_task(strike(*kinds[number % len(kinds)]))
    seconds = loop.time() - began
    said = {"seconds": seconds, "categories": categories, "odd": odd}
    sys.stdout.write(json.dumps(said) + "\n")


def _context(authority: str, protocol: str) -> ssl.SSLContext | None:
    """None without an authority: plain text."""
    if not authority:
        return None
    context = ssl.create_default_context(cadata=authority)
    context.set_alpn_protocols([protocol])
    return context


if __name__ == "__main__":
    os.nice(NICE)
    uvloop.run(attack(**json.loads(sys.argv[1])))
