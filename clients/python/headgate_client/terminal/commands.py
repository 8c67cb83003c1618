"""What a line typed into the chat means."""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """A line that begins with a slash: its word, and the rest."""

    name: str
    argument: str


HELP: Final = {
    "/help": "this list",
    "/reset": "forget the conversation; the system prompt stays",
    "/system TEXT": "set the system prompt; alone, show it; with -, take it away",
    "/retry": "ask the last question again, in place of its last answer",
    "/save FILE": "write the conversation to a new file, *.json or Markdown",
    "/quit": "leave, as Ctrl-D does",
    "//...": "send a line that begins with a slash",
}
KEYS: Final = "Ctrl-C stops an answer, Ctrl-D leaves, Alt-Enter begins a new line."


def parse(line: str) -> Command | str:
    """A command, or the text to send; two slashes in front send a line with one."""
    text = line.strip()
    if not text.startswith("/"):
        return text
    if text.startswith("//"):
        return text[1:]
    name, _, argument = text[1:].partition(" ")
    return Command(name.lower(), argument.strip())
