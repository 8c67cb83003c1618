"""Gives every fragment of a tool call its index and its id, whatever the upstream left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headgate.errors import UpstreamProtocol
from headgate.upstream import ToolCallPiece

if TYPE_CHECKING:
    from headgate import wire

# In code points. Some servers put kilobytes of state into an id; a name and an id of this length
# still fit into one message (promise 7).
MAX_NAME = 16 * 1024
# In one choice. Callers may offer 128 tools; what an upstream counts up to has to have a bound.
MAX_CALLS = 10_000


class ToolCallIndex:
    """Follows the tool calls of one choice through its fragments.

    Servers differ: some leave the index out, some send 0 for every parallel call, some leave the
    id out, some repeat id and name in every fragment. A new id opens a new call; a fragment
    without one belongs to the call that was opened last under its own index.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._indexes: dict[str, int] = {}  # by id
        self._names: list[str] = []
        self._last_under: dict[int | None, int] = {}

    def piece(self, fragment: wire.ToolCallFragment) -> ToolCallPiece | None:
        """The fragment with its place filled in; None when there is nothing in it.

        Raises:
            UpstreamProtocol: its name or id is longer than MAX_NAME, or it is one call, or one
                index, more than MAX_CALLS.
        """
        function = fragment.function
        name = _bounded("name", (function.name if function else None) or "")
        arguments = _as_text(function.arguments if function else None)
        if not (fragment.id or name or arguments):
            return None
        index = self._index(fragment)
        if index == len(self._names):
            call_id = _bounded("id", fragment.id or f"{self._prefix}{index}")
            self._indexes.setdefault(call_id, index)
            self._names.append(name)
            return ToolCallPiece(index, call_id, name, arguments)
        if name and not self._names[index]:
            self._names[index] = name
        elif name == self._names[index]:
            name = ""
        return ToolCallPiece(index, "", name, arguments) if name or arguments else None

    def _index(self, fragment: wire.ToolCallFragment) -> int:
        """Where the fragment belongs; one past the end opens a new call."""
        if fragment.id and fragment.id in self._indexes:
            index = self._indexes[fragment.id]
        elif fragment.id or self._opens(fragment):
            index = len(self._names)
        else:
            index = self._last_under[fragment.index]
        self._last_under[fragment.index] = index
        if index >= MAX_CALLS or len(self._last_under) > MAX_CALLS:
            raise UpstreamProtocol(f"the upstream sent more than {MAX_CALLS} tool calls")
        return index

    def _opens(self, fragment: wire.ToolCallFragment) -> bool:
        """Without id and index, a second name opens a call; all else goes on with the last."""
        last = self._last_under.get(fragment.index)
        if last is None or fragment.index is not None or fragment.function is None:
            return last is None
        return bool(fragment.function.name and self._names[last])


def _bounded(what: str, text: str) -> str:
    if len(text) > MAX_NAME:
        raise UpstreamProtocol(
            f"the upstream sent a tool call whose {what} has {len(text)} characters,"
            f" and at most {MAX_NAME} are passed on"
        )
    return text


def _as_text(arguments: str | dict[str, object] | None) -> str:
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments or ""
