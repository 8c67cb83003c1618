"""What a real process writes: lines that machines can read, and nothing that was said to it."""

from __future__ import annotations

import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from support.gateway import ask
from support.heard import Heard, heard_of
from support.raw_upstream import (
    RawUpstream,
    answers,
    delta,
    event,
    says,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.raw_upstream import Connection, Request

CHAT = "/headgate.v1.ChatService/Chat"
PROMPT, ANSWER, KEY, LABEL = "PLANTED-PROMPT", "PLANTED-ANSWER", "PLANTED-KEY", "a label"


def lines(heard: Heard) -> list[dict[str, Any]]:
    """All that is no message to the person who started it."""
    said = [line for line in heard.text.splitlines() if not line.startswith("headgate: ")]
    return [json.loads(line) for line in said]


@asynccontextmanager
async def serving(upstream: RawUpstream, *flags: str, **environment: str) -> AsyncIterator[Heard]:
    heard = await heard_of(
        *("serve", "--upstream", upstream.url, "--profile", "unlimited"),
        *("--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--retry.max_attempts", "1"),
        *flags,
        environment={"HEADGATE_UPSTREAM__API_KEY": KEY} | environment,
    )
    try:
        await heard.until(lambda text: "http listening on" in text)
        yield heard
    finally:
        heard.process.send_signal(signal.SIGTERM)
        assert await heard.end() == 0


async def quotes_everything(request: Request, connection: Connection) -> None:
    """An upstream that refuses, and says again all that it was sent."""
    words = {"error": {"message": f"{request.headers} {request.body!r}"}}
    await answers(json.dumps(words).encode(), status="400 Bad Request")(request, connection)


async def post(heard: Heard, **fields: Any) -> int:
    address = f"http://{heard.address('http listening')}/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": PROMPT}], **fields}
    async with aiohttp.ClientSession() as client, client.post(address, json=body) as reply:
        await reply.read()
        return reply.status


FAULTS = [
    quotes_everything,
    answers(ANSWER.encode()),
    answers(f'{{"choices": [{{"message": "{ANSWER}"}}]}}'.encode()),
    streams(event(delta(ANSWER)), end=False),
    streams(event(delta(ANSWER)), event({"error": {"message": ANSWER}})),
    streams(f"data: {ANSWER}\n\n".encode()),
    answers(ANSWER.encode(), status="502 Bad Gateway"),
    answers(ANSWER.encode(), headers=["Content-Encoding: gzip"]),
    says(ANSWER),
]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_nothing_that_was_said_is_in_any_line(workers: str) -> None:
    """Whatever fails, on both faces; and each line says whose it is."""
    async with RawUpstream(*FAULTS) as upstream:
        async with serving(upstream, "--workers", workers, "--log.level", "debug") as heard:
            statuses = [await post(heard, stream=True) for _ in FAULTS]
            assert await post(heard, temperature=PROMPT) == 400
            assert await post(heard, model=7) == 400
            async with grpc.aio.insecure_channel(heard.address("grpc listening")) as channel:
                call: Any = channel.unary_unary(CHAT)
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(PROMPT.encode(), timeout=10)
                await call(ask(PROMPT, labels={LABEL: "x"}).SerializeToString(), timeout=10)
        assert len(upstream.requests) == len(FAULTS) + 1
        assert PROMPT in str(upstream.requests[0].body)  # it did go in
    assert statuses[-1] == 200
    said = lines(heard)
    for word in (PROMPT, ANSWER, KEY):
        assert word not in heard.text
    calls = [line for line in said if line["event"] == "call"]
    assert len(calls) == len(FAULTS) + 4
    assert {len(line["request_id"]) for line in calls} == {32}
    assert sum(line["event"] == "attempt failed" for line in said) == len(FAULTS) - 1
    assert LABEL in str(calls)
    if workers == "1":
        assert not any("worker" in line for line in said)
    else:
        assert all(line["worker"] in (0, 1) for line in calls)


async def test_the_log_settings_of_a_process() -> None:
    """A level, a form for people, and a warning that cannot be overlooked."""
    async with RawUpstream(says(ANSWER)) as upstream:
        flags = ("--log.format", "console", "--log.prompts", "true")
        async with serving(upstream, *flags) as heard:
            assert await post(heard) == 200
        assert "headgate: WARNING: prompts and answers are written into the log" in heard.text
        assert heard.text.count(PROMPT) == heard.text.count(ANSWER) == 1
        assert "timestamp" not in heard.text
        async with serving(upstream, "--log.level", "error", "--log.prompts", "true") as heard:
            assert await post(heard) == 200
        assert lines(heard) == []


async def test_opentelemetrys_own_variables_are_obeyed() -> None:
    """An endpoint that nobody answers at: the calls do not mind, and its secret stays one."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={KEY}-2",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }
    async with RawUpstream(says(ANSWER)) as upstream:
        async with serving(upstream, "--log.access", "off", **variables) as heard:
            for _ in range(3):
                assert await post(heard) == 200
        assert "traceparent" in upstream.requests[0].headers
    said = lines(heard)
    ours = [line for line in said if not line.get("logger", "").startswith("opentelemetry")]
    assert [line["event"] for line in ours] == ["spans given up"]
    assert KEY not in heard.text
