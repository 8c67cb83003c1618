"""Where the chat's lines come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings

from headgate_client.terminal.commands import HELP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from prompt_toolkit.key_binding import KeyPressEvent


def typed_lines() -> Iterator[str]:
    """Lines typed at a prompt, until Ctrl-D; Ctrl-C throws away what was typed."""
    session = _session()
    while True:
        try:
            yield _valid(session.prompt("> "))
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def piped_lines(source: TextIO) -> Iterator[str]:
    """Lines of a pipe or a file, until its end."""
    for line in source:
        yield _valid(line)


def history_path(environment: Mapping[str, str], home: Path) -> Path:
    """The history's file, in the user's state directory (XDG Base Directory)."""
    state = environment.get("XDG_STATE_HOME") or environment.get("LOCALAPPDATA")
    return (Path(state) if state else home / ".local" / "state") / "headgate" / "chat_history"


def _session() -> PromptSession[str]:
    commands = sorted(usage.partition(" ")[0] for usage in HELP if not usage.startswith("//"))
    return PromptSession(
        history=_history(),
        auto_suggest=AutoSuggestFromHistory(),
        completer=WordCompleter(commands, sentence=True),
        complete_while_typing=False,
        key_bindings=_keys(),
        prompt_continuation="  ",
    )


def _history() -> History:
    try:
        path = history_path(os.environ, Path.home())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except (OSError, RuntimeError):  # read-only, or no home at all: remember until the end
        return InMemoryHistory()
    return FileHistory(path)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _valid(line: str) -> str:
    """Text that can be sent: bytes that were no UTF-8 arrive as lone surrogates."""
    return line.encode("utf-8", "replace").decode("utf-8")
