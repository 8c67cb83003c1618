"""Behaviours that are about time and bytes: how an answer is written, not what it says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from answers import TICK, words
from behaviours import WORDS, behaviour, some, spoken
from support.raw_upstream import DONE, delta, event, finish

if TYPE_CHECKING:
    from talk import Talk


@behaviour
async def slow(talk: Talk, count: str, milliseconds: str = "100") -> None:
    """So many deltas, with so many milliseconds before each."""
    await talk.head()
    for _ in range(int(count)):
        await asyncio.sleep(int(milliseconds) / 1000)
        await talk.events(delta(TICK))
    await talk.events(finish())
    await talk.done()


@behaviour
async def later(talk: Talk, milliseconds: str) -> None:
    """An answer whose first token takes so long."""
    await asyncio.sleep(int(milliseconds) / 1000)
    await words(talk)


@behaviour
async def endless(talk: Talk) -> None:
    """A delta every 20 ms until the client goes."""
    await talk.head()
    while True:
        await talk.events(delta(TICK))
        await asyncio.sleep(0.02)


@behaviour
async def flood(talk: Talk) -> None:
    """Deltas of 60,000 bytes, as many as the client takes."""
    await talk.head()
    while True:
        await talk.events(delta("x" * 60_000))


@behaviour
async def stall(talk: Talk, count: str) -> None:
    """So many deltas, then silence until the client goes."""
    await talk.head()
    await talk.events(*spoken(*some(count)))
    await talk.hang()


@behaviour
async def mute(talk: Talk) -> None:
    """Not a byte until the client goes."""
    await talk.hang()


@behaviour
async def split_code_point(talk: Talk) -> None:
    """A character of four bytes that comes in two writes, 50 ms apart."""
    chunk = json.dumps(delta("caf\u00e9 \U0001f600!"), ensure_ascii=False)
    data = f"data: {chunk}\n\n".encode()
    middle = data.index("\U0001f600".encode()) + 2
    await talk.head()
    await talk.raw(data[:middle])
    await asyncio.sleep(0.05)
    await talk.raw(data[middle:])
    await talk.events(finish())
    await talk.done()


@behaviour
async def every_byte(talk: Talk) -> None:
    """A whole answer, one byte to a write."""
    data = b"".join(event(value) for value in [*spoken(*WORDS), finish()]) + DONE
    await talk.head()
    await talk.raw(*(data[i : i + 1] for i in range(len(data))))
    await talk.end()


@behaviour
async def line_separator(talk: Talk) -> None:
    """U+2028, U+2029, U+0085 and U+000B in the text, unescaped: no ends of lines in SSE."""
    chunk = json.dumps(delta("a\u2028b\u2029c\u0085d\u000be"), ensure_ascii=False)
    await talk.head()
    await talk.raw(f"data: {chunk}\n\n".encode())
    await talk.events(finish())
    await talk.done()


@behaviour
async def crlf(talk: Talk) -> None:
    """CRLF at the ends of lines, and one of them split between two writes."""
    data = b"".join(event(value) for value in [*spoken(*WORDS), finish()])
    data = data.replace(b"\n", b"\r\n")
    middle = data.index(b"\r\n\r\n") + 3
    await talk.head()
    await talk.raw(data[:middle], data[middle:], b"data: [DONE]\r\n\r\n")
    await talk.end()


@behaviour
async def comments(talk: Talk) -> None:
    """Comments and unknown fields between events, and `data:` without a space."""
    await talk.head()
    await talk.raw(b": ping\n\n", b"retry: 10\nid: 7\n")
    for value in [*spoken(*WORDS), finish()]:
        await talk.raw(event(value).replace(b"data: ", b"data:"), b": ping\n\n")
    await talk.done()


@behaviour
async def no_done(talk: Talk) -> None:
    """A finished answer without usage, [DONE] or the end of the chunked body."""
    await talk.head()
    await talk.events(*spoken(*WORDS), finish())
