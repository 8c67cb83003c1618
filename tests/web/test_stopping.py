"""Stop, and Escape, reach the upstream within a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.gateway import gateway
from support.raw_upstream import RawUpstream
from web.scripts import endless, silent

if TYPE_CHECKING:
    from web.conftest import Visit

PROMISED = 1.0
"""Seconds after which the upstream has seen that its reader has gone."""


@pytest.mark.parametrize("how", ["button", "Escape", "New chat", "closing the page"])
async def test_the_upstream_sees_it(visit: Visit, how: str) -> None:
    """Whichever way the reader goes, and the words that had come stay."""
    async with (
        RawUpstream(endless) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("A story, please")
        await expect(reader.text).to_have_text("Once upon a time")
        assert upstream.open == 1
        if how == "button":
            await reader.button("Stop").click()
        elif how == "Escape":
            await reader.page.keyboard.press("Escape")
        elif how == "New chat":
            await reader.button("New chat").click()
        else:
            await reader.page.goto("about:blank")
        async with asyncio.timeout(PROMISED):
            await upstream.until(lambda: upstream.open == 0)
        if how in {"button", "Escape"}:
            await reader.sees("stopped")
            await expect(reader.text).to_have_text("Once upon a time")
            await expect(reader.answer).to_contain_text("Stopped here.")
            await expect(reader.question).to_be_focused()
            await reader.keep("stopped")


async def test_before_the_first_word(visit: Visit) -> None:
    """The upstream has the request and thinks: it is told all the same."""
    async with (
        RawUpstream(silent) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("Think hard")
        await upstream.until(lambda: len(upstream.requests) == 1)
        await reader.page.keyboard.press("Escape")
        async with asyncio.timeout(PROMISED):
            await upstream.until(lambda: upstream.open == 0)
        await reader.sees("stopped")
