"""What a program's messages say, decoded and put together by the kit itself."""

from __future__ import annotations

import base64
from functools import cached_property
from itertools import groupby
from typing import Any

from google.protobuf.json_format import MessageToDict

from headgate.v1 import chat_pb2 as pb


class View:
    """The messages of one call.

    Args:
        method: Chat or StreamChat.
        messages: in base64, as the program gave them.

    Raises:
        ValueError, DecodeError: one of them is no message of the method.
    """

    def __init__(self, method: str, messages: list[str]) -> None:
        kind = pb.ChatResponse if method == "Chat" else pb.StreamChatResponse
        self._messages = [
            kind.FromString(base64.b64decode(data, validate=True)) for data in messages
        ]
        self._streams = method == "StreamChat"

    @cached_property
    def events(self) -> list[pb.StreamChatResponse]:
        """The messages of a stream."""
        return [m for m in self._messages if isinstance(m, pb.StreamChatResponse)]

    @cached_property
    def names(self) -> list[str]:
        """The name of each event; empty for one that is not set."""
        return [event.WhichOneof("event") or "" for event in self.events]

    @property
    def runs(self) -> list[list[Any]]:
        """The names with how many there were in a row."""
        return [[name, len(list(group))] for name, group in groupby(self.names)]

    @property
    def deltas(self) -> list[pb.ChatDelta]:
        return [e.delta for e, name in zip(self.events, self.names, strict=True) if name == "delta"]

    def all_of(self, name: str) -> list[dict[str, Any]]:
        """Every event of this name, as JSON with the contract's names."""
        pairs = zip(self.events, self.names, strict=True)
        return [_json(getattr(event, name)) for event, found in pairs if found == name]

    @property
    def response(self) -> dict[str, Any]:
        """The answer of Chat, as JSON with the contract's names; empty without one."""
        return {} if self._streams or not self._messages else _json(self._messages[0])

    @cached_property
    def answers(self) -> dict[str, dict[str, Any]]:
        """What each choice said, put together, by its index as a text."""
        answers: dict[str, dict[str, Any]] = {}
        for delta in self.deltas:
            _add(answers.setdefault(str(delta.choice_index), {}), delta)
        for choice in [c for m in self._messages for c in getattr(m, "choices", ())]:
            said = answers.setdefault(str(choice.index), {})
            _say(said, choice.message)
            _count(said, choice.logprobs)
            said["tool_calls"] = [_json(call) for call in choice.message.tool_calls]
        return answers

    @property
    def text(self) -> dict[str, str]:
        """The content of each choice that has some."""
        return {i: a["content"] for i, a in self.answers.items() if a.get("content")}


def _add(answer: dict[str, Any], delta: pb.ChatDelta) -> None:
    _say(answer, delta)
    _count(answer, delta.logprobs)
    calls = answer.setdefault("tool_calls", [])
    for piece in delta.tool_calls:
        while len(calls) <= piece.index:
            calls.append({"id": "", "name": "", "arguments": ""})
        call = calls[piece.index]
        for name in call:
            call[name] += getattr(piece, name)


def _say(answer: dict[str, Any], said: pb.ChatDelta | pb.ChatMessage) -> None:
    for name in ("content", "reasoning_content", "refusal"):
        answer[name] = answer.get(name, "") + getattr(said, name)


def _count(answer: dict[str, Any], logprobs: pb.Logprobs) -> None:
    tokens = answer.setdefault("logprobs", [])
    tokens += [_json(token) for token in logprobs.content]


def _json(message: Any) -> dict[str, Any]:
    told: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return told
