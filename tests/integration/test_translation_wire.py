"""What the upstream really received, and what the caller really got, over sockets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from headgate.v1 import chat_pb2 as pb
from support.gateway import ask, gateway, kinds, text
from support.raw_upstream import (
    DONE,
    RawUpstream,
    answers,
    delta,
    event,
    finish,
    says,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.raw_upstream import Request

METHODS = ["Chat", "StreamChat"]
SCHEMA = '{"type":"object","properties":{"x":{"maximum":1.0,"minimum":12345678901234567890123}}}'


async def sent(method: str, request: pb.ChatRequest, **sections: Any) -> Request:
    """The one request that went upstream for this one."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url, **sections) as caller:
        if method == "Chat":
            await caller.stub.Chat(request, timeout=20)
        else:
            assert [e async for e in caller.stub.StreamChat(request, timeout=20)]
        assert len(upstream.requests) == 1
        return upstream.requests[0]


EVERYTHING = pb.ChatRequest(
    idempotency_key="once",
    messages=[
        pb.ChatMessage(role=pb.ROLE_SYSTEM, content="Be exact. \u2028 \U0001f600"),
        pb.ChatMessage(role=pb.ROLE_DEVELOPER, content="Be kind."),
        pb.ChatMessage(
            role=pb.ROLE_USER,
            name="ada",
            parts=[
                pb.ContentPart(text="What is this?"),
                pb.ContentPart(image=pb.ImagePart(url="https://a.example/c.png", detail="low")),
                pb.ContentPart(image=pb.ImagePart(data=b"\x00\xff", mime_type="image/png")),
            ],
        ),
        pb.ChatMessage(
            role=pb.ROLE_ASSISTANT,
            reasoning_content="hm",
            tool_calls=[pb.FunctionCall(id="c1", name="look", arguments='{"x": 1.0}')],
        ),
        pb.ChatMessage(role=pb.ROLE_TOOL, tool_call_id="c1"),
        pb.ChatMessage(role=pb.ROLE_ASSISTANT, refusal="I will not."),
    ],
    model="m-1",
    temperature=0.1,
    top_p=0.0,
    max_tokens=7,
    stop=["END", "\n"],
    seed=2**63 - 1,
    presence_penalty=-2.0,
    frequency_penalty=0.5,
    n=2,
    tools=[pb.FunctionTool(name="look", description="looks", parameters=SCHEMA, strict=True)],
    tool_choice=pb.ToolChoice(function_name="look"),
    parallel_tool_calls=False,
    response_format=pb.ResponseFormat(
        json_schema=pb.JsonSchemaFormat(name="s", description="d", schema=SCHEMA, strict=False)
    ),
    stream_options=pb.StreamOptions(queue_updates=True),
    reasoning_effort="low",
    logprobs=3,
    user="u-1",
    system_prompt=pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_SERVER),
    scheduling=pb.Scheduling(priority=2),
    labels={"team": "secret-team"},
)
EVERYTHING.extra.update({"top_k": 40, "min_p": 0.05, "nested": {"a": [1, None, True]}})
EXPECTED = {
    "messages": [
        {"role": "system", "content": "Be exact. \u2028 \U0001f600"},
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "https://a.example/c.png", "detail": "low"},
                },
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AP8="}},
            ],
            "name": "ada",
        },
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"x": 1.0}'},
                }
            ],
            "reasoning_content": "hm",
        },
        {"role": "tool", "content": "", "tool_call_id": "c1"},
        {"role": "assistant", "refusal": "I will not."},
    ],
    "model": "m-1",
    "temperature": 0.1,
    "top_p": 0.0,
    "max_tokens": 7,
    "stop": ["END", "\n"],
    "seed": 2**63 - 1,
    "presence_penalty": -2.0,
    "frequency_penalty": 0.5,
    "n": 2,
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "looks",
                "parameters": json.loads(SCHEMA),
                "strict": True,
            },
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "s",
            "description": "d",
            "schema": json.loads(SCHEMA),
            "strict": False,
        },
    },
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 3,
    "user": "u-1",
    "top_k": 40,
    "min_p": 0.05,
    "nested": {"a": [1, None, True]},
}
ALLOWED = {"extra_allowed": ["top_k", "min_p", "nested"]}


def test_the_request_below_has_every_field() -> None:
    """A field that is added to the contract must be added here too."""
    listed = {field.name for field, _ in EVERYTHING.ListFields()}
    assert listed == {field.name for field in pb.ChatRequest.DESCRIPTOR.fields}


async def test_every_field_of_a_unary_request() -> None:
    """Exactly these fields arrive, with `stream: false` in so many words."""
    request = await sent("Chat", EVERYTHING, upstream=ALLOWED)
    assert request.json == EXPECTED | {"stream": False}
    assert request.body.count(SCHEMA.encode()) == 2
    assert b"secret-team" not in request.body
    assert "secret-team" not in str(request.headers)


async def test_every_field_of_a_streaming_request() -> None:
    """The same, with usage asked for."""
    request = await sent("StreamChat", EVERYTHING, upstream=ALLOWED)
    assert request.json == EXPECTED | {
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("method", METHODS)
async def test_nothing_is_sent_that_was_not_set(method: str) -> None:
    """The upstream's own defaults hold."""
    request = await sent(method, ask("Hi"), upstream={"include_usage": False})
    assert request.json == {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": method == "StreamChat",
    }


async def test_whole_numbers_in_extra_are_whole() -> None:
    """`40`, not `40.0`: some servers refuse a float where they want a count."""
    request = await sent("Chat", EVERYTHING, upstream=ALLOWED)
    assert re.search(rb'"top_k":40[,}]', request.body)  # a Struct has no order
    assert re.search(rb'"min_p":0\.05[,}]', request.body)


@pytest.mark.parametrize(
    ("asked", "setting", "expected"),
    [
        (None, "max_tokens", {}),
        (-1, "max_tokens", {}),
        (-1, "max_completion_tokens", {}),
        (5, "max_tokens", {"max_tokens": 5}),
        (5, "max_completion_tokens", {"max_completion_tokens": 5}),
    ],
)
async def test_max_tokens(asked: int | None, setting: str, expected: dict[str, int]) -> None:
    """No limit is not sent, and the limit goes under the upstream's name for it."""
    request = await sent("Chat", ask(max_tokens=asked), upstream={"max_tokens_field": setting})
    found = {key: value for key, value in request.json.items() if "tokens" in key}
    assert found == expected


@pytest.mark.parametrize(
    ("asked", "configured", "expected"),
    [("", None, None), ("", "m-default", "m-default"), ("m-1", "m-default", "m-1")],
)
async def test_model(asked: str, configured: str | None, expected: str | None) -> None:
    """The caller's, else the server's, else none is sent."""
    request = await sent("Chat", ask(model=asked), upstream={"model": configured})
    assert request.json.get("model") == expected


@pytest.mark.parametrize(
    ("path", "setting", "asked"),
    [
        ("/v1/chat/completions", "auto", True),
        ("/api", "auto", False),
        ("/api", True, True),
        ("/v1/chat/completions", False, False),
    ],
)
async def test_include_usage(path: str, setting: object, asked: bool) -> None:
    """Asked of streams where the upstream is known to know it, and never of whole answers."""
    async with RawUpstream(says("Hello")) as upstream:
        url = f"http://127.0.0.1:{upstream.port}{path}"
        async with gateway(url, upstream={"include_usage": setting}) as caller:
            await caller.events()
            await caller.chat()
    streamed, whole = upstream.requests
    assert ("stream_options" in streamed.json) == asked
    assert "stream_options" not in whole.json
    assert streamed.path == path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("wish", "roles"),
    [
        (None, ["system", "user"]),
        (pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_NONE), ["user"]),
        (pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_REPLACE, text="Mine."), ["system", "user"]),
    ],
    ids=["server", "none", "replace"],
)
async def test_the_system_prompt_goes_in(
    method: str, wish: pb.SystemPrompt | None, roles: list[str]
) -> None:
    """The configured one, none, or the request's; the caller is told."""
    prompt = {"text": "Ours."}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, system_prompt=prompt) as caller,
    ):
        if method == "Chat":
            info = (await caller.chat(system_prompt=wish)).gateway
        else:
            info = (await caller.events(system_prompt=wish))[-1].finished.gateway
    messages = upstream.requests[0].json["messages"]
    assert [message["role"] for message in messages] == roles
    if len(roles) == 2:
        assert messages[0]["content"] == ("Mine." if wish else "Ours.")
    assert info.system_prompt_applied == (len(roles) == 2)


WHOLE = {
    "id": "c-9",
    "created": 1700000000,
    "model": "m-9",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "reasoning": "hm", "x": 1},
            "finish_reason": "eos",
            "logprobs": {
                "content": [
                    {
                        "token": "Hi",
                        "logprob": -0.5,
                        "bytes": [72, 105],
                        "top_logprobs": [{"token": "Ho", "logprob": -2, "bytes": None}],
                    }
                ],
                "refusal": None,
            },
        },
        {
            "index": 1,
            "message": {
                "content": None,
                "refusal": "no",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"function": {"name": "g", "arguments": {"y": [1.5]}}},
                ],
            },
            "finish_reason": "tool_calls",
        },
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "queue_time": 0.1,
    },
    "timings": {"ms": 4.5, "tags": ["a", None]},
}
USAGE = pb.Usage(
    prompt_tokens=3, completion_tokens=2, total_tokens=5, cached_tokens=1, reasoning_tokens=0
)


async def test_everything_in_a_whole_answer() -> None:
    """Nothing that has a field is lost, unknown words and figures are kept beside it."""
    script = answers(json.dumps(WHOLE).encode())
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        answer = await caller.chat(n=2)

    assert (answer.id, answer.model, answer.system_fingerprint) == ("c-9", "m-9", "fp")
    assert answer.create_time.ToSeconds() == 1700000000
    assert answer.usage == USAGE
    assert dict(answer.extra) == {"timings": answer.extra["timings"]}
    first, second = answer.choices
    assert first.message == pb.ChatMessage(
        role=pb.ROLE_ASSISTANT, content="Hi", reasoning_content="hm"
    )
    assert (first.finish_reason, first.finish_reason_raw) == (pb.FINISH_REASON_OTHER, "eos")
    (token,) = first.logprobs.content
    assert (token.token, token.logprob, token.bytes) == ("Hi", -0.5, b"Hi")
    assert [(top.token, top.logprob, top.bytes) for top in token.top] == [("Ho", -2.0, b"")]
    assert second.message.refusal == "no"
    assert [(c.name, c.arguments) for c in second.message.tool_calls] == [
        ("f", "{}"),
        ("g", '{"y":[1.5]}'),
    ]
    assert all(call.id for call in second.message.tool_calls)
    assert second.finish_reason == pb.FINISH_REASON_TOOL_CALLS


async def test_a_whole_answer_to_a_stream_says_the_same() -> None:
    """A JSON body where a stream was asked for: its deltas, then finished (promise 2)."""
    script = answers(json.dumps(WHOLE).encode())
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events(n=2)

    assert kinds(events) == ["started", "delta", "finished"]
    assert text(events) == "Hi"
    finished = events[-1].finished
    assert [c.finish_reason_raw for c in finished.choices] == ["eos", "tool_calls"]
    assert finished.usage == USAGE


async def test_a_stream_in_answer_to_a_unary_call() -> None:
    """The published API streams by default; an upstream that does so anyway is understood."""
    pieces = [event(delta(word)) for word in ("Hel", "lo")] + [event(finish()), DONE]
    async with RawUpstream(streams(*pieces)) as upstream, gateway(upstream.url) as caller:
        answer = await caller.chat()
    assert answer.choices[0].message.content == "Hello"


def of_choice(events: Iterable[pb.StreamChatResponse], index: int) -> list[pb.ChatDelta]:
    deltas = [e.delta for e in events if e.WhichOneof("event") == "delta"]
    return [said for said in deltas if said.choice_index == index]


async def test_three_choices_interleaved() -> None:
    """Each delta says whose it is; all three finishes come in the end."""
    pieces = [event(delta(f"{i}{c}", choice=c)) for i in range(4) for c in (2, 0, 1)]
    ends = [event(finish(reason, choice=c)) for c, reason in ((1, "length"), (0, "stop"))]
    script = streams(*pieces, *ends, event(delta("!", choice=2)), event(finish("odd", choice=2)))
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events(n=3)

    assert upstream.requests[0].json["n"] == 3
    for choice in range(3):
        said = "".join(part.content for part in of_choice(events, choice))
        assert said == "".join(f"{i}{choice}" for i in range(4)) + ("!" if choice == 2 else "")
    assert [(c.index, c.finish_reason_raw) for c in events[-1].finished.choices] == [
        (0, "stop"),
        (1, "length"),
        (2, "odd"),
    ]


async def test_everything_in_a_stream() -> None:
    """Reasoning, text, refusal, tool pieces, logprobs; then reason, usage and extra."""
    token = {"token": "H", "logprob": -1.0, "bytes": [72], "top_logprobs": []}
    text_delta = delta("H")
    text_delta["choices"][0]["logprobs"] = {"content": [token]}
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    script = streams(
        event(delta(role="assistant", content="")),
        event(delta(reasoning="hm")),
        event(text_delta),
        event(delta(refusal="no")),
        event(delta(tool_calls=[call])),
        event(delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])),
        event(finish("tool_calls")),
        event({"choices": [], "usage": WHOLE["usage"], "timings": {"ms": 4}}),
        DONE,
    )
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()

    parts = of_choice(events, 0)
    assert "".join(part.reasoning_content for part in parts) == "hm"
    assert "".join(part.content for part in parts) == "H"
    assert "".join(part.refusal for part in parts) == "no"
    pieces = [piece for part in parts for piece in part.tool_calls]
    assert {piece.index for piece in pieces} == {0}
    assert "".join(p.id + p.name + p.arguments for p in pieces) == "af{}"
    tokens = [t for part in parts for t in part.logprobs.content]
    assert [(t.token, t.bytes) for t in tokens] == [("H", b"H")]
    finished = events[-1].finished
    assert finished.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS
    assert finished.usage == USAGE
    assert set(finished.extra) == {"timings"}
    assert parts[-1].position == 5


async def test_a_first_event_that_only_filters_prompts() -> None:
    """Some clouds open with an event that has no choice and no id; who answers comes after it."""
    script = streams(
        event({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"index": 0}]}),
        event(delta("Hello")),
        event(finish()),
        DONE,
    )
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()
    assert (events[0].started.id, events[0].started.model) == ("c-1", "scripted")
    assert set(events[-1].finished.extra) == {"prompt_filter_results"}


async def test_odd_figures_do_not_cost_the_answer() -> None:
    """Deep or huge values in fields that nobody knows are left out; the stream ends OK."""
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    tail = {"choices": [], "deep": deep, "huge": 10**400, "kept": 1}
    script = streams(event(delta("Hello")), event(finish()), event(tail), DONE)
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()
    assert text(events) == "Hello"
    assert set(events[-1].finished.extra) == {"kept"}


async def test_halves_of_characters_in_every_text() -> None:
    """Lone surrogates anywhere: joined where texts come in pieces, replaced elsewhere."""
    opening = delta("\ud83d") | {"model": "m\ud83d"}
    opening["choices"][0]["logprobs"] = {"content": [{"token": "\ud83d", "logprob": -1}]}
    script = streams(event(opening), event(delta("\ude00")), event(finish("st\udc00p")), DONE)
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()
    assert text(events) == "\U0001f600"
    assert events[0].started.model == "m\ufffd"
    assert events[-1].finished.choices[0].finish_reason_raw == "st\ufffdp"
    assert [t.token for d in of_choice(events, 0) for t in d.logprobs.content] == ["\ufffd"]


@pytest.mark.parametrize("method", METHODS)
async def test_headers_of_a_request(method: str) -> None:
    """JSON in, either form out; the caller's request id goes along for the upstream's log."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        metadata = [("x-request-id", "r-1"), ("x-mine", "not yours")]
        if method == "Chat":
            await caller.stub.Chat(ask(), metadata=metadata, timeout=20)
        else:
            stream = caller.stub.StreamChat(ask(), metadata=metadata, timeout=20)
            assert [e async for e in stream]
            trailers = dict(await stream.trailing_metadata() or ())
            assert trailers["x-request-id"] == "r-1"
    headers = upstream.requests[0].headers
    assert upstream.requests[0].method == "POST"
    assert headers["content-type"] == "application/json"
    assert headers["accept"] == "text/event-stream, application/json"
    assert headers["x-request-id"] == "r-1"
    assert headers["user-agent"].startswith("headgate/")
    assert {"x-mine", "authorization", "cookie"} & set(headers) == set()
