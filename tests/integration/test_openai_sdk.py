"""OpenAI's own SDKs for Python and JavaScript work against the HTTP face."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, AsyncStream

from headgate import errors
from support import openai_js
from support.gateway import gateway
from support.http_face import running
from support.processes import serving
from support.scripted_upstream import Scripted, Step, ended, opened, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai.types.chat import ChatCompletionChunk

QUESTION: Any = {"model": "any", "messages": [{"role": "user", "content": "What is a headgate?"}]}
WEATHER: Any = {
    "model": "any",
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather of a city.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
    "tool_choice": "required",
}
INTERRUPTED = errors.StreamInterrupted("the answer was interrupted", cause="connection")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sandbox that sets no limits."""
    limits = ("--callers.rate=inf", "--callers.min_interval=0", "--sandbox.token_interval=0")
    folder = tmp_path_factory.mktemp("sandbox")
    with serving(folder, "sandbox", "--listen=127.0.0.1:0", *limits) as address:
        yield address


@pytest.fixture
async def base_url(sandbox: str) -> AsyncIterator[str]:
    """A gateway in front of the sandbox, as OpenAI's SDKs name it."""
    url = f"http://{sandbox}/v1/chat/completions"
    async with gateway(url, http_listen="127.0.0.1:0") as caller:
        yield f"http://{caller.gateway.http_address}/v1"


@pytest.fixture(scope="module")
def javascript_sdk() -> None:
    """OpenAI's SDK for JavaScript, in place."""
    openai_js.install()


@asynccontextmanager
async def scripted(*script: Step) -> AsyncIterator[tuple[Scripted, str]]:
    """The face over an upstream that plays a script, and its base URL."""
    upstream = Scripted(list(script))
    async with running(upstream) as (face, _):
        yield upstream, f"http://{face.address}/v1"


def client(base_url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key="none")


async def test_python_whole_answer(base_url: str) -> None:
    """A completion with text, finish reason and usage."""
    async with client(base_url) as sdk:
        answer = await sdk.chat.completions.create(**QUESTION)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == (
        answer.usage.prompt_tokens + answer.usage.completion_tokens
    )


async def test_python_stream(base_url: str) -> None:
    """The same text in pieces, then the reason, then the usage that was asked for."""
    request = {**QUESTION, "temperature": 0, "seed": 1}
    async with client(base_url) as sdk:
        whole = await sdk.chat.completions.create(**request)
        stream = await sdk.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "".join(c.delta.content or "" for c in choices) == whole.choices[0].message.content
    assert [c.finish_reason for c in choices if c.finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage]


async def test_python_no_usage_unless_asked(base_url: str) -> None:
    """Readers that never asked get no event without a choice."""
    async with client(base_url) as sdk:
        stream = await sdk.chat.completions.create(**QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_python_tool_calls(base_url: str) -> None:
    """Whole, and in fragments that add up to the same call."""
    async with client(base_url) as sdk:
        whole = await sdk.chat.completions.create(**WEATHER)
        async with sdk.chat.completions.stream(**WEATHER) as stream:
            streamed = await stream.get_final_completion()
    assert whole.choices[0].finish_reason == "tool_calls"
    for choice in (whole.choices[0], streamed.choices[0]):
        assert choice.message.tool_calls is not None
        (call,) = choice.message.tool_calls
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert '"city"' in call.function.arguments
        assert call.id


async def test_python_models(sandbox: str) -> None:
    """The list of models can be read."""
    async with client(f"http://{sandbox}/v1") as sdk:
        assert [model.id async for model in sdk.models.list()] == ["headgate-sandbox"]


async def test_python_an_exhausted_limit_is_not_retried() -> None:
    """429 after the gateway's own attempts is RateLimitError, and one call is one call."""
    limit = errors.UpstreamLimit("the upstream's rate limit was hit (429)", retry_after=0.01)
    async with scripted(limit) as (upstream, url), client(url) as sdk:
        with pytest.raises(openai.RateLimitError) as caught:
            await sdk.chat.completions.create(**QUESTION)
    assert caught.value.code == "UPSTREAM_LIMIT"
    assert caught.value.type == "rate_limit_error"
    assert len(upstream.calls) == 1


async def test_python_a_refused_call_comes_again_when_told() -> None:
    """What was refused here and not upstream is tried again by the SDK, and counted."""
    refused = errors.WaitTooLong("the next slot is too far", retry_after=0.01)
    upstream = Scripted([refused], [opened("Hello"), ended()])
    async with running(upstream) as (face, _), client(f"http://{face.address}/v1") as sdk:
        answer = await sdk.chat.completions.create(**QUESTION)
    assert answer.choices[0].message.content == "Hello"
    assert [call.prior_attempts for call in upstream.calls] == [0, 1]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.UpstreamUnavailable("down"), openai.InternalServerError),
        (errors.UpstreamNotFound("no such model"), openai.NotFoundError),
        (errors.UpstreamCredentials("our key"), openai.InternalServerError),
        (errors.PermissionDenied("not you"), openai.PermissionDeniedError),
    ],
)
async def test_python_errors(
    error: errors.HeadgateError, kind: type[openai.APIStatusError]
) -> None:
    """Each status is the SDK's own exception, with our message and reason, without retries."""
    async with scripted(error) as (upstream, url), client(url) as sdk:
        with pytest.raises(kind) as caught:
            await sdk.chat.completions.create(**QUESTION, stream=True)
    assert error.message in caught.value.message
    assert caught.value.code == error.reason
    assert caught.value.request_id
    assert len(upstream.calls) == 1


async def test_python_a_wrong_field_is_named() -> None:
    """A bad request carries the path of the field."""
    async with scripted(opened("x"), ended()) as (upstream, url), client(url) as sdk:
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.chat.completions.create(**QUESTION, temperature=3, extra_body={"x": 1})
    assert caught.value.param == "temperature"
    assert upstream.calls == []


async def test_python_an_interrupted_stream_raises() -> None:
    """The SDK gives what came, then raises; it never takes the cut for an end."""
    pieces: list[str | None] = []

    async def read(stream: AsyncStream[ChatCompletionChunk]) -> None:
        async for chunk in stream:
            pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - the rest of it raises

    script = (opened("Hel"), said("lo"), INTERRUPTED)
    async with scripted(*script) as (_, url), client(url) as sdk:
        stream = await sdk.chat.completions.create(**QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="interrupted") as caught:
            await read(stream)
    assert pieces == ["", "Hel", "lo"]
    assert caught.value.code == "STREAM_INTERRUPTED"


@pytest.mark.usefixtures("javascript_sdk")
async def test_javascript_whole_answer(base_url: str) -> None:
    """A completion with text, finish reason and usage."""
    answer = await openai_js.answer(base_url, **QUESTION)
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.usefixtures("javascript_sdk")
async def test_javascript_stream(base_url: str) -> None:
    """The same text in pieces."""
    request = {**QUESTION, "temperature": 0, "seed": 1}
    whole = await openai_js.answer(base_url, **request)
    chunks = await openai_js.chunks(base_url, **request)
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert len(pieces) > 2
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.usefixtures("javascript_sdk")
async def test_javascript_tool_calls(base_url: str) -> None:
    """A call arrives whole."""
    answer = await openai_js.answer(base_url, **WEATHER)
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"


@pytest.mark.usefixtures("javascript_sdk")
async def test_javascript_an_exhausted_limit_is_not_retried() -> None:
    """429 after the gateway's own attempts is RateLimitError, and one call is one call."""
    limit = errors.UpstreamLimit("the upstream's rate limit was hit (429)", retry_after=0.01)
    async with scripted(limit) as (upstream, url):
        told = await openai_js.call(url, stream=False, **QUESTION)
    assert (told["error"], told["status"]) == ("RateLimitError", 429)
    assert told["code"] == "UPSTREAM_LIMIT"
    assert len(upstream.calls) == 1


@pytest.mark.usefixtures("javascript_sdk")
async def test_javascript_an_interrupted_stream_raises() -> None:
    """The SDK gives what came, then raises."""
    async with scripted(opened("Hel"), said("lo"), INTERRUPTED) as (_, url):
        told = await openai_js.call(url, stream=True, **QUESTION)
    texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in told["chunks"]]
    assert "".join(texts) == "Hello"
    assert told["code"] == "STREAM_INTERRUPTED"
    assert "interrupted" in told["message"]
