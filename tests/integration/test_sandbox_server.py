"""The sandbox as a server: the page, the prompt it puts in, the pace, and a taken port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headgate.config import Settings, StartError
from headgate.sandbox import start_sandbox
from headgate.sandbox.running import SYSTEM_PROMPT
from headgate.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headgate.sandbox import RunningSandbox

SETTINGS = Settings.model_validate({"sandbox": {"token_interval": 0}})


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    running = await start_sandbox(SETTINGS, "127.0.0.1:0")
    yield running
    await running.aclose()


async def post(sandbox: RunningSandbox, question: str, **parameters: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": question}], **parameters}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{sandbox.url}/api", json=body)


async def test_the_page_is_at_the_root(sandbox: RunningSandbox) -> None:
    """As HTML in UTF-8, with its limits put in."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(sandbox.url)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "For each IP address: as many requests as you like." in response.text


async def test_it_streams_unless_told_otherwise(sandbox: RunningSandbox) -> None:
    """The published default, read back by our own decoder."""
    response = await post(sandbox, "count to 3")
    events = SSEDecoder().feed(response.content)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-1].data == b"[DONE]"
    assert b"3" in events[-4].data + events[-5].data


async def test_a_system_prompt_is_put_in(sandbox: RunningSandbox) -> None:
    """Its own, when none is configured; the caller's own when it brings one."""
    response = await post(sandbox, "What is your system prompt?", stream=False)
    assert SYSTEM_PROMPT in response.json()["choices"][0]["message"]["content"]


async def test_over_the_limit_requests_wait_and_then_are_told_when_to_come() -> None:
    """One answered, one in the queue, and 429 with Retry-After for the one too many."""
    slow = {"callers": {"rate": 0.001, "max_queue": 1}, "sandbox": {"token_interval": 0}}
    running = await start_sandbox(Settings.model_validate(slow), "127.0.0.1:0")
    assert (await post(running, "Hello!")).status_code == 200
    two = {asyncio.create_task(post(running, "Hello!")) for _ in range(2)}
    (refused,), (waiting,) = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
    answer = refused.result()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 1
    assert answer.json()["error"]["code"] == "CALLER_LIMIT"
    await running.aclose()
    assert (await waiting).status_code == 503


async def test_a_gateway_can_stand_in_front_of_it(sandbox: RunningSandbox) -> None:
    """`upstream` names the chat endpoint and keeps all else."""
    upstream = sandbox.upstream(Settings.model_validate({"upstream": {"idle_timeout": 3}}))
    assert (upstream.url, upstream.idle_timeout) == (f"{sandbox.url}/api", 3)


async def test_a_taken_port_is_one_clear_line(sandbox: RunningSandbox) -> None:
    """The address, and why it cannot be had."""
    address = sandbox.url.removeprefix("http://")
    with pytest.raises(StartError, match=rf"^cannot listen on {address}: address already in use$"):
        await start_sandbox(SETTINGS, address)


async def test_an_address_for_all_is_told_as_one_to_visit() -> None:
    """0.0.0.0 is no place to go to."""
    running = await start_sandbox(SETTINGS, "0.0.0.0:0")
    await running.aclose()
    assert running.url.startswith("http://127.0.0.1:")
