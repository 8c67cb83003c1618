"""Messages as people write them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headgate_client import text
from headgate_client.messages import message_of, messages_of
from headgate_client.v1 import chat_pb2 as pb
from support.chat_client import response

USER = pb.ChatMessage(role=pb.ROLE_USER, content="hi")


@pytest.mark.parametrize(
    "messages",
    ["hi", {"role": "user", "content": "hi"}, USER, ["hi"], [USER], iter(["hi"])],
)
def test_one_message_or_many_in_any_form(messages: Any) -> None:
    """A string, a dict, a ChatMessage, or any iterable of these, say the same."""
    assert messages_of(messages) == [USER]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_every_role_has_its_word(role: str) -> None:
    """The roles are the words of the HTTP API."""
    message = message_of({"role": role, "content": "x"})
    assert pb.Role.Name(message.role) == f"ROLE_{role.upper()}"


def test_parts_of_every_kind() -> None:
    """Text and images, by URL or by bytes, as OpenAI writes them and as the contract does."""
    ready = pb.ContentPart(text="ready")
    parts: list[Any] = [
        "short",
        {"type": "text", "text": "long"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": None}},
        {"type": "image_url", "image_url": "https://x/z.png"},
        {"type": "image", "data": b"\x89PNG", "mime_type": "image/png"},
        ready,
    ]
    message = message_of({"role": "user", "content": parts})
    assert message.content == ""
    assert list(message.parts) == [
        pb.ContentPart(text="short"),
        pb.ContentPart(text="long"),
        pb.ContentPart(image=pb.ImagePart(url="https://x/y.png", detail="low")),
        pb.ContentPart(image=pb.ImagePart(url="https://x/y.png")),
        pb.ContentPart(image=pb.ImagePart(url="https://x/z.png")),
        pb.ContentPart(image=pb.ImagePart(data=b"\x89PNG", mime_type="image/png")),
        ready,
    ]


def test_an_assistants_message_comes_back_as_it_was_received() -> None:
    """A dict from an OpenAI-style answer can be sent again: its empty keys are passed over."""
    received = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "c2", "name": "sub", "arguments": {"b": "ü"}},
            pb.FunctionCall(id="c3", name="mul", arguments="{}"),
        ],
    }
    assert message_of(received) == pb.ChatMessage(
        role=pb.ROLE_ASSISTANT,
        reasoning_content="hm",
        tool_calls=[
            pb.FunctionCall(id="c1", name="add", arguments='{"a": 1}'),
            pb.FunctionCall(id="c2", name="sub", arguments='{"b": "ü"}'),
            pb.FunctionCall(id="c3", name="mul", arguments="{}"),
        ],
    )


def test_a_tools_result_names_its_call() -> None:
    """`tool_call_id` and `name` have their fields."""
    result = {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "3"}
    assert message_of(result) == pb.ChatMessage(
        role=pb.ROLE_TOOL, tool_call_id="c1", name="add", content="3"
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"role": "robot", "content": "x"}, "unknown role 'robot'"),
        ({"content": "x"}, "unknown role None"),
        ({"role": ["user"]}, "unknown role ['user']"),
        ({"role": "user", "contents": "x"}, "unknown key 'contents'"),
        ({"role": "user", "content": [{"type": "video"}]}, "unknown part {'type': 'video'}"),
        ({"role": "user", "content": 3}, "`content` is a str or a list of parts, not int"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "unknown tool call {'id': 'c'}"),
        ({"role": "user", "content": [b"x" * 500]}, "..."),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line(wrong: dict[str, Any], said: str) -> None:
    """The message says what is wrong and what is allowed, before anything is sent."""
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        message_of(wrong)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_thing_that_is_no_message_is_a_type_error() -> None:
    """Numbers are not messages."""
    with pytest.raises(TypeError, match="not int"):
        messages_of([3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (None, "messages is None; allowed: a str, a dict or a ChatMessage, or a list of these"),
        (5, "messages is 5; allowed: a str"),
        ({"role": "tool", "name": 5}, "'name' in a message is 5; allowed: a str"),
        ({"role": "user", "tool_calls": 5}, "'tool_calls' in a message is 5; allowed: a list"),
    ],
)
def test_what_is_of_another_type_is_named(messages: Any, said: str) -> None:
    """The value, its place, and what is allowed there."""
    with pytest.raises(TypeError, match=f"^{re.escape(said)}"):
        messages_of(messages)


def test_the_text_of_a_response() -> None:
    """`text` is the first choice's content, and empty when there is no choice."""
    assert text(response("Hello")) == "Hello"
    assert text(pb.ChatResponse()) == ""
