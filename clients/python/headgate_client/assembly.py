"""Deltas put together again: the message that a stream has told in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate_client.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable


class Assembly:
    """Collects the deltas of one choice; pieces are joined once, when somebody asks."""

    def __init__(self, choice_index: int = 0) -> None:
        self._choice_index = choice_index
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _CallPieces] = {}

    def add(self, delta: pb.ChatDelta) -> None:
        """Take a delta in; those of other choices are passed over."""
        if delta.choice_index != self._choice_index:
            return
        self._content.append(delta.content)
        self._reasoning.append(delta.reasoning_content)
        self._refusal.append(delta.refusal)
        for piece in delta.tool_calls:
            self._calls.setdefault(piece.index, _CallPieces()).add(piece)

    def message(self) -> pb.ChatMessage:
        """The assistant's message so far."""
        return pb.ChatMessage(
            role=pb.ROLE_ASSISTANT,
            content="".join(self._content),
            reasoning_content="".join(self._reasoning),
            refusal="".join(self._refusal),
            tool_calls=self._tool_calls(),
        )

    def _tool_calls(self) -> Iterable[pb.FunctionCall]:
        return (pieces.call() for _, pieces in sorted(self._calls.items()))


class _CallPieces:
    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, piece: pb.ToolCallDelta) -> None:
        self._id = self._id or piece.id
        self._name = self._name or piece.name
        self._arguments.append(piece.arguments)

    def call(self) -> pb.FunctionCall:
        return pb.FunctionCall(id=self._id, name=self._name, arguments="".join(self._arguments))
