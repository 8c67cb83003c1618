"""Behaviours that fail: statuses, breaks, and answers that are none."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from answers import words
from behaviours import BEHAVIOURS, behaviour, some
from support.raw_upstream import delta

if TYPE_CHECKING:
    from talk import Talk


@behaviour
async def status(talk: Talk, code: str, *headers: str) -> None:
    """An HTTP status; `retry-after=1` and the like become headers."""
    body = json.dumps({"error": {"message": f"the upstream says {code}"}}).encode()
    lines = [header.replace("=", ": ") for header in headers]
    await talk.reply(body, status=f"{code} Whatever", headers=lines)


@behaviour
async def first(talk: Talk, failures: str, how: str, *arguments: str) -> None:
    """The first so many attempts behave like HOW, all further ones answer."""
    if talk.number <= int(failures):
        await BEHAVIOURS[how](talk, *arguments)
    else:
        await words(talk)


@behaviour
async def unknown(talk: Talk) -> None:
    """A model that is not there."""
    body = json.dumps({"error": {"message": "no such model"}}).encode()
    await talk.reply(body, status="404 Not Found")


@behaviour
async def cut(talk: Talk, count: str) -> None:
    """So many deltas, then the connection is closed in mid-answer."""
    await talk.head()
    await talk.events(*map(delta, some(count)))


@behaviour
async def reset(talk: Talk, count: str = "0") -> None:
    """So many deltas (none: not even a head), a pause to let them arrive, then a TCP reset."""
    if int(count):
        await cut(talk, count)
        await asyncio.sleep(0.2)
    talk.reset()


@behaviour
async def error_event(talk: Talk, count: str, code: str = "") -> None:
    """So many deltas, then an error object inside the 200; without a code it has none."""
    error = {"message": "the model fell over"} | ({"code": int(code)} if code else {})
    if not talk.streams:
        await talk.reply(json.dumps({"error": error}).encode())
        return
    await talk.head()
    await talk.events(*map(delta, some(count)))
    await talk.events({"error": error})
    await talk.end()


@behaviour
async def broken_event(talk: Talk, count: str) -> None:
    """So many deltas, then an event that is no JSON."""
    await talk.head()
    await talk.events(*map(delta, some(count)))
    await talk.raw(b"data: {]\n\n")
    await talk.end()


@behaviour
async def no_choice(talk: Talk) -> None:
    """A proper stream, or answer, that holds no choice at all."""
    await talk.answer([])


@behaviour
async def page(talk: Talk, media: str = "text/html") -> None:
    """A web page with 200, as hosts send it that are waking up."""
    await talk.reply(b"<!doctype html><title>waking up</title>", media=media)


@behaviour
async def prose(talk: Talk) -> None:
    """Plain text with 200."""
    await talk.reply(b"hello", media="text/plain")


@behaviour
async def not_json(talk: Talk) -> None:
    """A JSON body that is none."""
    await talk.reply(b"{not json}")


@behaviour
async def empty(talk: Talk) -> None:
    """200 and an empty body."""
    await talk.reply(b"")


@behaviour
async def half_json(talk: Talk) -> None:
    """A body that ends before its length."""
    await talk.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    )
    await talk.send(b'{"id":"c-1","choices":[{"index":0,"mess')
