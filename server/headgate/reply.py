"""What an upstream's answer means: events or a whole body go in, Chunks come out.

No I/O. One Reply follows one attempt and knows whether the answer is finished: when every choice
that was seen has its finish reason, or when the upstream said `[DONE]`. Only then may a stream end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from headgate import odd_answer, wire
from headgate.errors import UpstreamError, UpstreamProtocol, UpstreamUnavailable
from headgate.extra import ExtraFields
from headgate.split import SURELY_SHORT, split_delta, text_length
from headgate.surrogates import HalfJoiner, parse_with_halves
from headgate.tool_calls import ToolCallIndex
from headgate.upstream import Chunk, Delta, Head, ToolCallPiece
from headgate.upstream_status import error_in_body
from headgate.validate import MAX_CHOICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.sse import Event

_decode = msgspec.json.Decoder(wire.Completion).decode
_END_OF_TIME = 253402300799  # the last second that a Timestamp holds
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class Reply:
    """Reads one answer.

    Attributes:
        committed: content was handed out, so nothing may be retried any more.
        done: the upstream said `[DONE]`, or its whole body was read.
        failure: what went wrong behind the content of the last Chunk; `end` raises it.
    """

    def __init__(self) -> None:
        self.committed = False
        self.done = False
        self.failure: UpstreamError | None = None
        self._head: Head | None = None
        self._head_sent = False
        self._seen: set[int] = set()
        self._ended: set[int] = set()
        self._usage: wire.Usage | None = None
        self._tools: dict[int, ToolCallIndex] = {}
        self._halves: HalfJoiner | None = None
        self._extra = ExtraFields()

    @property
    def finished(self) -> bool:
        """Whether the answer is whole (promise 2)."""
        return bool(self._seen) and (self.done or len(self._ended) == len(self._seen))

    @property
    def choices(self) -> int:
        """How many choices were seen so far."""
        return len(self._seen)

    def feed(self, events: Sequence[Event]) -> Chunk | None:
        """Read the events of one network read; None when they say nothing that matters."""
        if len(events) == 1 and (delta := self.lone(events[0])) is not None:
            return Chunk(deltas=[delta], finishes={}, extra={})
        chunk = Chunk(deltas=[], finishes={}, extra={})
        try:
            for event in events:
                self._event(event, chunk)
                if self.done:
                    self._end_open_choices(chunk)
                    break
        except UpstreamError as error:
            # What came before the fault in the same read is still the caller's.
            self.failure = None if self.finished else error
            self.done = True if self.finished else self.done
        return self._hand_out(chunk)

    def lone(self, event: Event) -> Delta | None:
        """The text of an event that brings nothing else, as almost all do: a short way."""
        if not self._head_sent or event.event or event.cut or self._halves is not None:
            return None
        try:
            completion = _decode(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        choices = completion.choices
        if not choices or len(choices) > 1 or completion.usage is not None or completion.error:
            return None
        choice = choices[0]
        said = choice.delta
        if said is None or choice.finish_reason or choice.logprobs is not None:
            return None
        content = said.content
        if not content or said.reasoning_content or said.reasoning or said.refusal:
            return None
        if said.tool_calls or len(content) > SURELY_SHORT:
            return None
        index = choice.index or 0
        if index not in self._seen:
            return None
        self.committed = True
        return Delta(index, content)

    def feed_body(self, body: bytes) -> Chunk:
        """Read a whole JSON answer: one Chunk with everything.

        Raises:
            UpstreamError: cut off, without a choice, no JSON, another shape, or an error object.
        """
        chunk = Chunk(deltas=[], finishes={}, extra={})
        self._completion(body, chunk, whole=True)
        self.done = True
        self._end_open_choices(chunk)
        self.end()
        return self._hand_out(chunk) or chunk

    def end(self) -> None:
        """There is no more to read; raises unless the answer is finished.

        Raises:
            UpstreamUnavailable: cut before the end, or no choice at all.
            UpstreamError: the fault that a `feed` came upon.
        """
        if self.failure is not None:
            raise self.failure
        if not self._seen:
            raise UpstreamUnavailable("the upstream's answer held no choice")
        if not self.finished:
            raise UpstreamUnavailable("the upstream closed the connection in mid-answer")

    def _hand_out(self, chunk: Chunk) -> Chunk | None:
        if not (chunk.deltas or chunk.finishes or chunk.usage or chunk.extra):
            return None
        if self._head is not None and not self._head_sent:
            chunk.head = self._head
            self._head_sent = True
        self.committed = self.committed or bool(chunk.deltas)
        return chunk

    def _event(self, event: Event, chunk: Chunk) -> None:
        data = event.data
        if data.startswith(b"{") and not event.event:  # almost all
            self._completion(data, chunk, whole=False, cut=event.cut)
        elif data.strip() == b"[DONE]":
            self.done = True
        elif event.event == "error":
            raise error_in_body(_error_object(data))
        elif data:
            self._completion(data, chunk, whole=False, cut=event.cut)

    def _completion(self, data: bytes, chunk: Chunk, *, whole: bool, cut: bool = False) -> None:
        completion = self._parse(data, cut=whole or cut)
        if completion.error or completion.object == "error":  # vLLM says it without the key
            raise error_in_body(completion.error or _error_object(data))
        if self._head is None and (completion.choices or completion.id):
            self._head = _head(completion)
        before = len(chunk.deltas)
        for position, choice in enumerate(completion.choices or ()):
            self._choice(choice, position if whole else 0, chunk)
        if completion.usage is not None:
            chunk.usage = self._usage = completion.usage.behind(self._usage)
        if whole or len(chunk.deltas) == before:
            # Events with content are many and carry nothing else that lasts; the others are few.
            chunk.extra |= self._extra.of(data)

    def _choice(self, choice: wire.Choice, position: int, chunk: Chunk) -> None:
        index = position if choice.index is None else choice.index
        if index not in self._seen and len(self._seen) >= MAX_CHOICES:
            raise UpstreamProtocol(f"the upstream's answer has more than {MAX_CHOICES} choices")
        self._seen.add(index)
        said = choice.delta or choice.message
        if said is not None:
            self._say(index, said, choice.logprobs, chunk)
        elif choice.logprobs is not None:
            self._say(index, wire.Delta(), choice.logprobs, chunk)
        if choice.finish_reason:
            self._ended.add(index)
            chunk.finishes[index] = choice.finish_reason

    def _say(
        self, index: int, said: wire.Delta, logprobs: wire.Logprobs | None, chunk: Chunk
    ) -> None:
        content = said.content or ""
        reasoning = said.reasoning_content or said.reasoning or ""
        refusal = said.refusal or ""
        tools = self._tool_pieces(index, said.tool_calls) if said.tool_calls else []
        if self._halves is not None:
            content = self._halves.join((index, "content"), content)
            reasoning = self._halves.join((index, "reasoning"), reasoning)
            refusal = self._halves.join((index, "refusal"), refusal)
            for tool in tools:
                tool.arguments = self._halves.join((index, tool.index), tool.arguments)
        if logprobs is not None and not (logprobs.content or logprobs.refusal):
            logprobs = None
        if content or reasoning or refusal or tools or logprobs is not None:
            delta = Delta(index, content, reasoning, refusal, tools, logprobs)
            if text_length(delta) <= SURELY_SHORT:
                chunk.deltas.append(delta)
            else:
                chunk.deltas.extend(split_delta(delta))

    def _parse(self, data: bytes, *, cut: bool) -> wire.Completion:
        try:
            return _read(data)
        except msgspec.ValidationError as error:
            raise UpstreamProtocol(f"the upstream's JSON has another shape: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if _HALF.search(data):
                return self._parse_halves(data)
            if cut and "truncated" in str(error):
                raise UpstreamUnavailable(
                    "the upstream closed in the middle of its answer"
                ) from error
            raise UpstreamProtocol("the upstream's answer is no valid JSON") from error

    def _parse_halves(self, data: bytes) -> wire.Completion:
        self._halves = self._halves or HalfJoiner()
        try:
            return parse_with_halves(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamProtocol("the upstream's answer is no valid JSON") from error

    def _tool_pieces(
        self, index: int, fragments: list[wire.ToolCallFragment]
    ) -> list[ToolCallPiece]:
        calls = self._tools.get(index)
        if calls is None:
            answer = self._head.id if self._head and self._head.id else "call"
            calls = self._tools[index] = ToolCallIndex(f"{answer}-{index}-")
        pieces = (calls.piece(fragment) for fragment in fragments)
        return [piece for piece in pieces if piece is not None]

    def _end_open_choices(self, chunk: Chunk) -> None:
        for index in sorted(self._seen - self._ended):
            chunk.finishes[index] = ""
        self._ended |= self._seen


def _read(data: bytes) -> wire.Completion:
    try:
        return _decode(data)
    except msgspec.ValidationError as error:
        if odd_answer.is_odd(error):
            return odd_answer.completion_of(data)
        raise


def _head(completion: wire.Completion) -> Head:
    created = completion.created or 0.0
    return Head(
        id=completion.id or "",
        model=completion.model or "",
        created=created if 0 < created < _END_OF_TIME else 0.0,
        system_fingerprint=completion.system_fingerprint or "",
    )


def _error_object(data: bytes) -> object:
    """What an `event: error` says: the object itself, or the one under its key `error`."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.decode(errors="replace")
    return value.get("error", value) if isinstance(value, dict) else value
