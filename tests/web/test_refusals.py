"""A refused call says why, what that means, and when to come again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import expect

from headgate.security.tokens import new_token
from support.gateway import gateway
from support.raw_upstream import RawUpstream, answers, says
from web.scripts import cut

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from web.conftest import Visit


async def test_a_countdown_and_another_try(visit: Visit) -> None:
    """The button does nothing before its time; then the same question is answered."""
    pause = answers(b"{}", status="429 Too Many Requests", headers=["Retry-After: 75"])
    async with (
        RawUpstream(pause, says("Yes.")) as upstream,
        gateway(
            upstream.url, retry={"max_attempts": 1}, throttle={"max_cooldown": 0.001}
        ) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.page.clock.install()
        await reader.ask("One?")
        await reader.sees("refused")
        await expect(reader.refusal).to_contain_text("asks for a pause")
        await expect(reader.refusal).to_contain_text("UPSTREAM_LIMIT")
        again = reader.button("Try again")
        await expect(again).to_have_accessible_description(re.compile(r"^in 1 min \d+ s$"))
        await reader.keep("refusal")
        await again.dispatch_event("click")
        await expect(again).to_have_attribute("aria-disabled", "true")
        await reader.page.clock.fast_forward(76_000)
        await expect(again).to_have_attribute("aria-disabled", "false")
        await expect(again).to_have_accessible_description("")
        assert len(upstream.requests) == 1
        await again.click()
        await reader.sees("finished")
        await expect(reader.page.locator(".turn")).to_have_count(1)
        await expect(reader.refusal).to_have_count(0)
        first, second = (request.json for request in upstream.requests)
        assert first == second


async def test_wrong_fields_are_named(visit: Visit) -> None:
    """A system prompt that the server does not allow; the question comes back to be changed."""
    async with (
        RawUpstream(says("Yes.")) as upstream,
        gateway(upstream.url, system_prompt={"allow_override": False}) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.button("Options").click()
        await reader.page.get_by_label("System prompt").fill("Be rude.")
        await reader.ask("One?")
        await reader.sees("refused")
        await expect(reader.refusal.locator("li code")).to_have_text("system_prompt")
        await reader.keep("wrong-field")
        await reader.button("Change the question").click()
        await expect(reader.question).to_be_focused()
        await expect(reader.question).to_have_value("One?")
        assert upstream.requests == []


async def test_the_upstreams_own_words(visit: Visit) -> None:
    """What the upstream says of a request that it does not take is shown as it is."""
    body = b'{"error": {"message": "<b>too long</b> by 12 tokens"}}'
    async with (
        RawUpstream(answers(body, status="400 Bad Request")) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("Long")
        await reader.sees("refused")
        await expect(reader.refusal).to_contain_text("UPSTREAM_REJECTED")
        await expect(reader.refusal).to_contain_text("<b>too long</b> by 12 tokens")


async def test_an_answer_that_breaks_off(visit: Visit) -> None:
    """What had come stays, and is not taken for the whole."""
    async with (
        RawUpstream(cut) as upstream,
        gateway(upstream.url) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("A story")
        await reader.sees("refused")
        await expect(reader.text).to_have_text("Once upon")
        await expect(reader.refusal).to_contain_text("The answer broke off")
        await expect(reader.refusal).to_contain_text("STREAM_INTERRUPTED")
        await reader.keep("interrupted")


async def test_a_token_that_is_wanted(visit: Visit, tmp_path: Path) -> None:
    """Without one the call is refused; with it, tried again, it is answered; it goes no further."""
    token, line = new_token("web")
    tokens = tmp_path / "tokens"
    tokens.write_text(line)
    async with (
        RawUpstream(says("Yes.")) as upstream,
        gateway(upstream.url, auth={"required": True, "tokens_file": str(tokens)}) as caller,
        visit(caller.gateway.grpc_address) as reader,
    ):
        await reader.ask("One?")
        await reader.sees("refused")
        await expect(reader.refusal).to_contain_text("The gateway wants to know who you are")
        await reader.button("Options").click()
        await reader.page.get_by_label("Access token").fill(token)
        await reader.button("Try again").click()
        await reader.sees("finished")
        (request,) = upstream.requests
        assert token not in str(request.headers)


async def test_no_gateway_at_all(visit: Visit) -> None:
    """Envoy alone answers; the page says who is missing."""
    async with visit("127.0.0.1:9") as reader:
        await reader.ask("Anybody?")
        await reader.sees("refused")
        await expect(reader.refusal).to_contain_text("The gateway cannot be reached")
        await expect(reader.button("Try again")).to_be_visible()
        await reader.keep("unreachable")
        # The browser itself notes Envoy's 503; the page has nothing to add.
        assert [said.partition(" of ")[2] for said in reader.complaints] == [
            "503 (Service Unavailable)"
        ]
        reader.complaints.clear()


async def test_an_address_that_is_none(browser: Browser, origin: str) -> None:
    """The page says so, and what one looks like, before anything is asked."""
    page = await browser.new_page()
    await page.goto(f"{origin}/?target=nonsense")
    await expect(page.get_by_role("alert")).to_contain_text(
        '"nonsense" is no address of a gateway; it looks like http://'
    )
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await page.close()
