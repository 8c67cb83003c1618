"""A call that waits shows its place in line, and can leave it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from playwright.async_api import expect

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, Caller, gateway
from support.raw_upstream import Connection, RawUpstream, Request, says

if TYPE_CHECKING:
    import grpc

    from web.conftest import Visit

UPDATES = pb.StreamOptions(queue_updates=True)
# Every number that the page shows, from now on.
_WATCH = """() => {
  window.places = [];
  new MutationObserver(() => {
    const shown = document.querySelector(".queue:not([hidden]) .number")?.textContent;
    if (shown && shown !== places.at(-1)) places.push(shown);
  }).observe(document.body, { subtree: true, childList: true, characterData: true,
                              attributes: true });
}"""


async def in_line(
    caller: Caller, *names: str
) -> list[grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse]]:
    """Calls of as many callers that have been told that they wait."""
    calls = [caller.named(name).stream(stream_options=UPDATES) for name in names]
    for call in calls:
        event = await call.read()
        assert isinstance(event, pb.StreamChatResponse)
        assert event.WhichOneof("event") == "queued"
    return calls


async def test_the_place_in_line(visit: Visit) -> None:
    """The published profile, two a second: behind eight others the place falls, then it is done."""
    async with (
        RawUpstream(says("Here you are.")) as upstream,
        gateway(upstream.url, profile="published", callers=TRUSTING) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.page.evaluate(_WATCH)
        await reader.question.fill("And me?")
        await caller.chat()  # the slot that is free
        others = await in_line(caller, *"abcdefgh")
        await reader.question.press("Enter")
        await reader.sees("waiting")
        await expect(reader.answer.locator(".queue")).to_contain_text("Your turn comes in")
        await reader.keep("queue")
        await reader.sees("finished")
        await expect(reader.answer.locator(".facts")).to_contain_text("s in line")
        places = [int(place) for place in await reader.page.evaluate("places")]
        assert places[0] >= 3
        assert len(places) >= 3
        assert all(later < earlier for earlier, later in pairwise(places))
        for other in others:
            other.cancel()


async def test_leaving_the_line(visit: Visit) -> None:
    """Nothing of a call that was stopped while it waited goes upstream."""
    free = asyncio.Event()

    async def busy(request: Request, connection: Connection) -> None:
        await free.wait()
        await says("Done.")(request, connection)

    async with (
        RawUpstream(busy) as upstream,
        gateway(upstream.url, throttle={"max_in_flight": 1}, callers=TRUSTING) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        first = asyncio.create_task(caller.named("first").chat())
        await upstream.until(lambda: len(upstream.requests) == 1)
        await reader.ask("And me?")
        await reader.sees("waiting")
        await expect(reader.answer.locator(".number")).to_have_text("1")
        assert await reader.violations() == []
        await reader.button("Stop").click()
        await reader.sees("stopped")
        await expect(reader.answer).to_contain_text("Stopped before an answer came.")
        await expect(reader.question).to_be_focused()
        (last,) = await in_line(caller, "last")
        free.set()
        await first
        while await last.read():
            pass
        assert len(upstream.requests) == 2
        await reader.button("Ask again").click()
        await reader.sees("finished")
        assert len(upstream.requests) == 3
