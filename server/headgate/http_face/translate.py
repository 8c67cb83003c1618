"""Chunks to OpenAI's JSON: the events of a stream, or one whole completion.

No I/O. The shapes are those of `chat.completion.chunk` and `chat.completion`; what the upstream
said beyond them stands at the top level, as the upstream had it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate import wire
    from headgate.upstream import Chunk, Delta, Head, ToolCallPiece

# Escaped to ASCII, so that no character can be cut in two by a reader that decodes read by read.
_encode = json.JSONEncoder(
    ensure_ascii=True, separators=(",", ":"), default=msgspec.to_builtins
).encode


def encode_json(value: object) -> bytes:
    """JSON in ASCII; Structs inside are written out."""
    return _encode(value).encode("ascii")


class Answer:
    """What stands around every choice: who answers, and when.

    Args:
        answer_id: the id, where the upstream gave none.
        model: the model's name, where the upstream gave none.
        created: seconds since the epoch, where the upstream gave none.
    """

    def __init__(self, *, answer_id: str, model: str, created: float) -> None:
        self._id = answer_id
        self._model = model
        self._created = created

    def fields(self, kind: str, head: Head | None) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": (head and head.id) or self._id,
            "object": kind,
            "created": int((head and head.created) or self._created),
            "model": (head and head.model) or self._model,
        }
        if head and head.system_fingerprint:
            fields["system_fingerprint"] = head.system_fingerprint
        return fields


class EventMaker:
    """Turns the Chunks of one answer into events.

    Attributes:
        position: how many upstream deltas the events so far include.
    """

    def __init__(self, answer: Answer, *, include_usage: bool) -> None:
        self.position = 0
        self._answer = answer
        self._fields = answer.fields("chat.completion.chunk", None)
        self._include_usage = include_usage
        self._usage: wire.Usage | None = None
        self._extra: dict[str, Any] = {}
        self._spoken: set[int] = set()

    def events(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """One event for every delta and every finish; each choice opens with its role."""
        if chunk.head is not None:
            self._fields = self._answer.fields("chat.completion.chunk", chunk.head)
        self._usage = chunk.usage or self._usage
        self._extra |= chunk.extra
        for delta in chunk.deltas:
            yield from self._role(delta.choice)
            self.position += delta.count
            yield self._event(_delta_choice(delta))
        for index, word in chunk.finishes.items():
            yield from self._role(index)
            # An empty word: the upstream ended without saying why, so there is nothing to say.
            if word:
                yield self._event({"index": index, "delta": {}, "finish_reason": word})

    def tail(self) -> Iterator[dict[str, Any]]:
        """The last event, without a choice: the usage, if it is wanted and known."""
        if self._include_usage and self._usage is not None:
            yield self._event(None) | {"usage": self._usage}

    def _role(self, index: int) -> Iterator[dict[str, Any]]:
        if index not in self._spoken:
            self._spoken.add(index)
            opening = {"role": "assistant", "content": ""}
            yield self._event({"index": index, "delta": opening, "finish_reason": None})

    def _event(self, choice: dict[str, Any] | None) -> dict[str, Any]:
        extra, self._extra = self._extra, {}
        return {**extra, **self._fields, "choices": [] if choice is None else [choice]}


def completion(whole: Chunk, answer: Answer) -> dict[str, Any]:
    """The whole answer as one `chat.completion`."""
    choices: dict[int, _Choice] = {}
    for delta in whole.deltas:
        choices.setdefault(delta.choice, _Choice()).add(delta)
    for index, word in whole.finishes.items():
        choices.setdefault(index, _Choice()).finish_reason = word or None
    fields = {**whole.extra, **answer.fields("chat.completion", whole.head)}
    fields["choices"] = [choices[index].fields(index) for index in sorted(choices)]
    return fields if whole.usage is None else {**fields, "usage": whole.usage}


class _Choice:
    """Puts the deltas of one choice together."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._logprobs: dict[str, list[wire.TokenLogprob]] = {}

    def add(self, delta: Delta) -> None:
        self._content.append(delta.content)
        self._reasoning.append(delta.reasoning)
        self._refusal.append(delta.refusal)
        for piece in delta.tool_calls:
            self._calls.setdefault(piece.index, _Call()).add(piece)
        if delta.logprobs is not None:
            self._add_logprobs(delta.logprobs)

    def fields(self, index: int) -> dict[str, Any]:
        return {
            "index": index,
            "message": self._message(),
            "logprobs": self._logprobs or None,
            "finish_reason": self.finish_reason,
        }

    def _message(self) -> dict[str, Any]:
        content, refusal = "".join(self._content), "".join(self._refusal)
        reasoning = "".join(self._reasoning)
        silent = not content and (self._calls or refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else content,
            "refusal": refusal or None,
        }
        if reasoning:
            message["reasoning_content"] = reasoning
        if self._calls:
            message["tool_calls"] = [self._calls[index].fields() for index in sorted(self._calls)]
        return message

    def _add_logprobs(self, said: wire.Logprobs) -> None:
        for name, tokens in (("content", said.content), ("refusal", said.refusal)):
            if tokens:
                self._logprobs.setdefault(name, []).extend(tokens)


class _Call:
    """Puts the pieces of one tool call together."""

    def __init__(self) -> None:
        self._id = ""
        self._name: list[str] = []
        self._arguments: list[str] = []

    def add(self, piece: ToolCallPiece) -> None:
        self._id = self._id or piece.id
        self._name.append(piece.name)
        self._arguments.append(piece.arguments)

    def fields(self) -> dict[str, Any]:
        function = {"name": "".join(self._name), "arguments": "".join(self._arguments)}
        return {"id": self._id, "type": "function", "function": function}


def _delta_choice(delta: Delta) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if delta.content:
        said["content"] = delta.content
    if delta.reasoning:
        said["reasoning_content"] = delta.reasoning
    if delta.refusal:
        said["refusal"] = delta.refusal
    if delta.tool_calls:
        said["tool_calls"] = [_fragment(piece) for piece in delta.tool_calls]
    choice: dict[str, Any] = {"index": delta.choice, "delta": said, "finish_reason": None}
    if delta.logprobs is not None:
        choice["logprobs"] = delta.logprobs
    return choice


def _fragment(piece: ToolCallPiece) -> dict[str, Any]:
    function: dict[str, str] = {"arguments": piece.arguments}
    if piece.name:
        function["name"] = piece.name
    fragment: dict[str, Any] = {"index": piece.index, "function": function}
    if piece.id:
        fragment |= {"id": piece.id, "type": "function"}
    return fragment
