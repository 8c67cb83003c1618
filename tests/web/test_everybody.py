"""The page is of use with a keyboard, a screen reader, a small window, large letters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.gateway import gateway
from support.raw_upstream import RawUpstream, says
from web.scripts import in_two, silent

if TYPE_CHECKING:
    from web.conftest import Visit

LONG = (
    "# A heading\n\nSome words with `code` and a [link](https://example.org).\n\n"
    f"```python\nvalue = '{'x' * 200}'\n```\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n\n- one\n- two\n\n" + "word" * 60
)
_NEWS = """() => {
  window.news = [];
  new MutationObserver((changes) => {
    for (const change of changes)
      for (const node of change.addedNodes) news.push(node.textContent);
  }).observe(document.getElementById("news"), { childList: true });
}"""
_FOCUS = "document.activeElement.id || document.activeElement.textContent.trim()"


async def test_with_the_keyboard_alone(visit: Visit) -> None:
    """Every control is reached and used without a mouse, and the focus is never lost."""
    async with (
        RawUpstream(says("Yes."), silent, says("Again.")) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        keyboard = reader.page.keyboard
        await expect(reader.question).to_be_focused()
        await keyboard.type("One?")
        await keyboard.press("Shift+Enter")
        await keyboard.type("And more?")
        await keyboard.press("Enter")
        await reader.sees("finished")
        assert upstream.requests[0].json["messages"][0]["content"] == "One?\nAnd more?"

        await keyboard.type("Two?")
        await keyboard.press("Tab")
        assert await reader.page.evaluate(_FOCUS) == "send"
        await keyboard.press("Enter")
        await reader.sees("asked")
        assert await reader.page.evaluate(_FOCUS) == "question"
        # A call stopped before the upstream has it would leave its answer to the next one.
        await upstream.until(lambda: len(upstream.requests) == 2)
        await keyboard.press("Escape")
        await reader.sees("stopped")
        await keyboard.press("Shift+Tab")
        assert await reader.page.evaluate(_FOCUS) == "Ask again"
        await keyboard.press("Enter")
        await reader.sees("finished")
        assert await reader.page.evaluate(_FOCUS) == "question"

        walked = []
        for _ in range(2):
            await keyboard.press("Shift+Tab")
            walked.append(await reader.page.evaluate(_FOCUS))
        assert walked == ["new-chat", "options-button"]
        await keyboard.press("Enter")
        for wanted in ("new-chat", "system-prompt", "temperature-default", "token"):
            await keyboard.press("Tab")
            assert await reader.page.evaluate(_FOCUS) == wanted
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await reader.page.evaluate(outline) == "solid"


async def test_what_is_read_aloud(visit: Visit) -> None:
    """Paragraphs once they are whole, and no single words; a refusal at once."""
    rest = asyncio.Event()
    async with (
        RawUpstream(in_two("Some words", " more.\n\nAnd others.", rest)) as upstream,
        gateway(upstream.url, callers={"rate": 0.01, "burst": 1, "max_wait": 0}) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.page.evaluate(_NEWS)
        await reader.ask("Talk")
        await expect(reader.text).to_have_text("Some words")
        assert await reader.page.evaluate("news") == []
        rest.set()
        await reader.sees("finished")
        news = await reader.page.evaluate("news")
        assert news == ["Some words more.", "And others.", "End of the answer."]
        await reader.ask("Talk more")
        await reader.sees("refused")
        alarm = reader.page.get_by_role("alert")
        await expect(alarm).to_contain_text("You have used up your share for now.")
        await expect(alarm).to_contain_text("You can try again in 1 minute")


@pytest.mark.parametrize("state", ["empty", "options", "answer", "refusal"])
async def test_axe_finds_nothing(visit: Visit, state: str) -> None:
    """Roles, names, contrast and order, in light and dark."""
    async with (
        RawUpstream(says(LONG)) as upstream,
        gateway(upstream.url, callers={"rate": 0.01, "burst": 1, "max_wait": 0}) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        if state == "options":
            await reader.button("Options").click()
        if state in {"answer", "refusal"}:
            await reader.ask("All that you can")
            await reader.sees("finished")
        if state == "refusal":
            await reader.ask("More")
            await reader.sees("refused")
        assert await reader.violations() == []


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("narrow", {"viewport": {"width": 320, "height": 640}}),
        ("zoomed", {"viewport": {"width": 640, "height": 360}, "device_scale_factor": 2}),
    ],
)
async def test_small_windows_and_large_letters(
    visit: Visit, name: str, how: dict[str, object]
) -> None:
    """At 320 pixels, and at 200 %, nothing is cut off and the page is not scrolled sideways."""
    async with (
        RawUpstream(says(LONG)) as upstream,
        gateway(upstream.url, callers={"rate": 0.01, "burst": 1, "max_wait": 0}) as caller,
        visit(caller.gateway.grpc_address, **how) as reader,
    ):
        await reader.button("Options").click()
        assert await reader.overflow() == 0
        await reader.keep(f"{name}-options")
        await reader.button("Options").click()
        await reader.ask("All that you can")
        await reader.sees("finished")
        assert await reader.overflow() == 0
        await reader.keep(name)
        await reader.ask("More")
        await reader.sees("refused")
        assert await reader.overflow() == 0
        await reader.keep(f"{name}-refusal")
        assert await reader.violations() == []


@pytest.mark.parametrize(("wish", "moves"), [("no-preference", True), ("reduce", False)])
async def test_nothing_moves_for_those_who_want_that(
    visit: Visit, wish: str, *, moves: bool
) -> None:
    """`prefers-reduced-motion` stops the cursor at the end of an answer that grows."""
    rest = asyncio.Event()
    async with (
        RawUpstream(in_two("Some words", "", rest)) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address, reduced_motion=wish) as reader,
    ):
        await reader.ask("Hello")
        await expect(reader.text).to_have_text("Some words")
        assert await reader.page.evaluate("document.getAnimations().length > 0") == moves
        rest.set()
        await reader.sees("finished")
        assert await reader.page.evaluate("document.getAnimations().length") == 0
