"""What stops a start: a wrong setting, or a machine that cannot give what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConfigError(Exception):
    """Wrong settings, all of them at once; each of `lines` is fit to be shown to a person."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class StartError(Exception):
    """The settings are right, and still the server cannot start: a taken port, say. One line."""
