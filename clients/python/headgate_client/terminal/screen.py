"""Where the chat writes: a terminal in colour, or a pipe with the answers and nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

if TYPE_CHECKING:
    from typing import TextIO

    from rich.status import Status

# Control characters could move the cursor or ask the terminal for things; a model may not.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")
_SAFE = _CONTROLS | {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


def safe(text: str) -> str:
    """The text without the control characters that a terminal would obey."""
    return text.translate(_SAFE)


class Screen(Protocol):
    """What the chat can show."""

    def waiting(self, line: str) -> None:
        """Nothing has come yet, and this is why; replaces the line before."""

    def piece(self, text: str, *, aside: bool = False) -> None:
        """A piece of the answer; `aside` is the model's reasoning."""

    def end(self) -> None:
        """The answer is over, well or not."""

    def note(self, line: str) -> None:
        """Something that is good to know."""

    def error(self, line: str) -> None:
        """Something went wrong."""


class TerminalScreen:
    """A terminal; honours NO_COLOR."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._status: Status | None = None
        self._at: bool | None = None  # inside the reasoning (True), the answer (False), neither

    def waiting(self, line: str) -> None:
        if self._status is None:
            self._status = self._console.status(safe(line), spinner="dots")
            self._status.start()
        else:
            self._status.update(safe(line))

    def piece(self, text: str, *, aside: bool = False) -> None:
        self._stop_waiting()
        if self._at is not None and self._at is not aside:
            self._raw("\n\n")
        self._at = aside
        if aside:
            self._write(safe(text), style="dim")
        else:
            self._raw(safe(text))

    def end(self) -> None:
        self._stop_waiting()
        if self._at is not None:
            self._raw("\n")
        self._at = None

    def note(self, line: str) -> None:
        self._write(f"{safe(line)}\n", style="dim")

    def error(self, line: str) -> None:
        self._write(f"{safe(line)}\n", style="red")

    def _stop_waiting(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _raw(self, text: str) -> None:
        # Past rich, which would make spaces of a tab.
        self._console.file.write(text)
        self._console.file.flush()

    def _write(self, text: str, style: str) -> None:
        self._console.print(
            text, style=style, end="", markup=False, emoji=False, highlight=False, soft_wrap=True
        )


class PipeScreen:
    """Answers go to stdout as they come, errors to stderr, and the rest is not said."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._open = False

    def waiting(self, line: str) -> None:
        pass

    def piece(self, text: str, *, aside: bool = False) -> None:
        if not aside:
            self._open = True
            self._out.write(safe(text) if self._out.isatty() else text)
            self._out.flush()

    def end(self) -> None:
        if self._open:
            self._out.write("\n")
            self._out.flush()
        self._open = False

    def note(self, line: str) -> None:
        pass

    def error(self, line: str) -> None:
        self._err.write(f"headgate-chat: {safe(line)}\n")
        self._err.flush()
