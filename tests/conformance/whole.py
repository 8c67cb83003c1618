"""A stream's events put together to the answer that a call without a stream gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def whole(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One `chat.completion` from `chat.completion.chunk`s."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        answer |= {key: value for key, value in event.items() if key != "choices"}
        for piece in event["choices"]:
            new = {"index": piece["index"], "message": {"role": "assistant"}}
            _add(choices.setdefault(piece["index"], new), piece)
    ordered = [choice for _, choice in sorted(choices.items())]
    return answer | {"object": "chat.completion", "choices": ordered}


def _add(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    if piece["finish_reason"]:
        choice["finish_reason"] = piece["finish_reason"]
    if piece.get("logprobs"):
        known = choice.setdefault("logprobs", {"content": []})
        known["content"] += piece["logprobs"]["content"]
    message = choice["message"]
    for key, value in piece["delta"].items():
        if key == "tool_calls":
            _add_calls(message.setdefault("tool_calls", []), value)
        elif key != "role":
            message[key] = message.get(key, "") + value


def _add_calls(calls: list[dict[str, Any]], fragments: list[dict[str, Any]]) -> None:
    for fragment in fragments:
        if fragment.get("id"):
            calls.append({"id": fragment["id"], "type": "function", "function": {"arguments": ""}})
        function = fragment.get("function", {})
        call = calls[fragment.get("index", -1)]["function"]
        call["arguments"] += function.get("arguments", "")
        if "name" in function:
            call["name"] = function["name"]
