"""Answers in the page come as they are written, and the conversation goes on from them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from playwright.async_api import expect

from support.gateway import gateway
from support.raw_upstream import RawUpstream, says
from support.service import serving
from web.scripts import in_two

if TYPE_CHECKING:
    from web.conftest import Visit

FIRST = "A gate:\n\n```python\ndef open(gate):\n    retu"
REST = "rn gate.lift()\n```\n\nThat is **all** of it.\n"


async def test_it_streams(visit: Visit) -> None:
    """What has come stands in the page while the upstream has not said the rest."""
    rest = asyncio.Event()
    async with (
        RawUpstream(in_two(FIRST, REST, rest)) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("Show me a gate")
        await expect(reader.text.locator("pre")).to_have_text("def open(gate):\n    retu")
        await reader.sees("answering")
        await expect(reader.button("Stop")).to_be_visible()
        await reader.keep("streaming")
        assert await reader.violations() == []
        rest.set()
        await reader.sees("finished")
        await expect(reader.text.locator("pre")).to_have_text(
            "def open(gate):\n    return gate.lift()"
        )
        await expect(reader.text.locator("strong")).to_have_text("all")
        await expect(reader.button("Send")).to_be_visible()


async def test_what_is_selected_stays_selected(visit: Visit) -> None:
    """Only the last block is drawn anew while an answer grows."""
    rest = asyncio.Event()
    async with (
        RawUpstream(in_two("To be kept.\n\nMore", " and more.", rest)) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("Hello")
        await expect(reader.text).to_contain_text("More")
        await reader.text.locator("p").first.select_text()
        rest.set()
        await reader.sees("finished")
        await expect(reader.text).to_contain_text("More and more.")
        assert await reader.page.evaluate("getSelection().toString().trim()") == "To be kept."


async def test_the_sandbox_answers(visit: Visit) -> None:
    """`headgate serve --sandbox`, a process of its own; what the answer cost stands below it."""
    async with serving("--sandbox") as service, visit(service.address) as reader:
        await reader.keep("empty")
        await reader.button("What is a headgate?").click()
        await reader.sees("finished")
        await expect(reader.text).to_contain_text("A headgate is the gate at the head of a canal")
        await expect(reader.answer.locator(".facts")).to_contain_text("tokens")
        await expect(reader.answer.locator(".facts")).to_contain_text("headgate-sandbox")
        await expect(reader.question).to_be_focused()
        await reader.keep("finished")


async def test_a_conversation(visit: Visit) -> None:
    """What was said goes along with the next question, with the options; a new chat forgets it."""
    async with (
        RawUpstream(says("Yes", ".")) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("One?")
        await reader.sees("finished")
        await reader.button("Options").click()
        await reader.page.get_by_label("System prompt").fill("Be brief.")
        await reader.page.get_by_label("Leave it to the upstream").uncheck()
        await reader.page.get_by_role("slider", name="Temperature").fill("0.3")
        await reader.keep("options")
        await reader.ask("Two?")
        await expect(reader.page.locator(".answer[data-phase=finished]")).to_have_count(2)
        await reader.button("New chat").click()
        await expect(reader.page.locator(".turn")).to_have_count(0)
        await reader.ask("Three?")
        await reader.sees("finished")
    first, second, third = (request.json for request in upstream.requests)
    assert first["messages"] == [{"role": "user", "content": "One?"}]
    assert "temperature" not in first
    assert [message["content"] for message in second["messages"]] == [
        *("Be brief.", "One?", "Yes.", "Two?")
    ]
    assert second["temperature"] == 0.3
    assert [message["content"] for message in third["messages"]] == ["Be brief.", "Three?"]
