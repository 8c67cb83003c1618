"""What strangers send makes no series, and nothing that is said to headgate is on its port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import grpc
import pytest

from support.gateway import TRUSTING, Caller, gateway, settings
from support.raw_upstream import RawUpstream, answers, says
from support.scrape import Scrape, page, scrape

METRICS: dict[str, Any] = {"listen": "127.0.0.1:0"}
QUICK: dict[str, Any] = {"initial_backoff": 0.001, "max_backoff": 0.001}
FAILS = answers(b"{}", status="503 Service Unavailable")


async def look(caller: Caller) -> Scrape:
    return await scrape(caller.gateway.metrics_address)


@pytest.mark.timeout(240)
async def test_a_label_cardinality_attack_makes_no_series() -> None:
    """10,000 identities, models and methods: not one series more than of one of each."""
    configured = TRUSTING | {"anna": {"weight": 2}, "max_priority": 9}
    quiet_http: dict[str, Any] = {"http_listen": "127.0.0.1:0", "log": {"access": "off"}}
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(upstream.url, metrics=METRICS, callers=configured, **quiet_http) as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):

        async def attack(number: int) -> None:
            named = caller.named(f'name-{number}"}} evil{{')
            await named.chat(model=f"model-{number}")
            await unknown(caller, f"/headgate.v1.ChatService/Method{number}")
            if number % 10 == 0:  # keys and paths are no part of any label, either
                await named.chat(idempotency_key=f"{number:08}")
                async with client.get(f"/path-{number}") as answer:
                    assert answer.status == 404

        await caller.named("anna").events()
        await caller.named("anna").chat(scheduling={"priority": 9})
        await attack(0)
        before = await look(caller)
        for start in range(1, 10_000, 50):
            await asyncio.gather(*map(attack, range(start, min(start + 50, 10_000))))
        after = await look(caller)

    assert after.by("headgate_rpcs_total", "face", "method", "code") == {
        ("grpc", "Chat", "OK"): 11_001,
        ("grpc", "StreamChat", "OK"): 1,
        ("grpc", "unknown", "UNIMPLEMENTED"): 10_000,
        ("http", "unknown", "NOT_FOUND"): 1_000,
    }
    assert after.by("headgate_caller_rpcs_total", "caller") == {"anna": 2, "other": 11_000}
    assert after.series == before.series
    assert len(after.series) < 500


async def unknown(caller: Caller, method: str) -> None:
    call: Any = caller.channel.unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_caller_that_is_configured_later_has_its_label_from_then_on() -> None:
    """A reload names it, and no call before is its own."""
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(upstream.url, metrics=METRICS, callers=TRUSTING) as caller,
    ):
        await caller.named("bert").chat()
        callers = TRUSTING | {"bert": {"weight": 2}}
        caller.gateway.change(settings(upstream.url, metrics=METRICS, callers=callers))
        await caller.named("bert").chat()
        said = await look(caller)
    assert said.by("headgate_caller_rpcs_total", "caller") == {"other": 1, "bert": 1}


async def test_nothing_secret_is_on_the_port() -> None:
    """Keys, headers, prompts, answers, callers, request ids: whatever is said in a call."""
    secrets = {
        "key": "sk-a-very-secret-key",
        "header": "tenant-secret",
        "prompt": "my-deepest-wish",
        "answer": "a-private-answer",
        "caller": "caller-somebody",
        "label": "label-somewhere",
        "system": "system-prompt-text",
    }
    sections: dict[str, Any] = {
        "upstream": {"api_key": secrets["key"], "headers": {"x-tenant": secrets["header"]}},
        "callers": TRUSTING,
        "system_prompt": {"text": secrets["system"]},
    }
    async with (
        RawUpstream(says(secrets["answer"]), FAILS) as upstream,
        gateway(upstream.url, metrics=METRICS, retry=QUICK, **sections) as caller,
    ):
        named = caller.named(secrets["caller"])
        await named.events(secrets["prompt"], labels={"a": secrets["label"]})
        await named.refused(secrets["prompt"])
        address = caller.gateway.metrics_address
        texts = [await page(address, path) for path in ("/metrics", "/state")]
        assert json.dumps(upstream.requests[0].json).count(secrets["prompt"]) == 1

    for secret in (*secrets.values(), upstream.url):
        assert not any(secret in text for text in texts), secret
