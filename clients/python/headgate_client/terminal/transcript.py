"""A conversation as a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headgate_client.messages import role_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate_client.v1 import chat_pb2 as pb


def save(messages: Iterable[pb.ChatMessage], path: Path) -> None:
    """Write the messages to a new file.

    JSON, in the shape that a request's `messages` have, if the name ends in .json; else Markdown.

    Raises:
        OSError: the file is there already, or cannot be written.
    """
    render = as_json if path.suffix.lower() == ".json" else as_markdown
    with path.open("x", encoding="utf-8") as file:
        file.write(render(messages))


def as_json(messages: Iterable[pb.ChatMessage]) -> str:
    """A JSON list of `role` and `content`."""
    said = [{"role": role_name(message), "content": message.content} for message in messages]
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def as_markdown(messages: Iterable[pb.ChatMessage]) -> str:
    """One section for each message."""
    return "\n".join(f"## {role_name(each)}\n\n{each.content.rstrip()}\n" for each in messages)
