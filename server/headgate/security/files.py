"""Files that are read again when they have changed; what is broken does not replace what works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from headgate.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

Value = TypeVar("Value")
_log = structlog.get_logger("headgate")


class Change:
    """Tells a change that is over from one that still goes on.

    Args:
        taken: what was seen of the files before they were read.
    """

    def __init__(self, taken: Hashable) -> None:
        self._taken = taken
        self._seen = taken

    def settled(self, seen: Hashable) -> bool:
        """Whether what is seen now is new, and was the same a look ago."""
        steady = seen == self._seen
        self._seen = seen
        if not steady or seen == self._taken:
            return False
        self._taken = seen
        return True


class FromFiles(Generic[Value]):
    """Something made from files.

    Args:
        paths: the files.
        load: makes it; raises ConfigError.
        what: its name in the log.

    Attributes:
        value: the last that could be made.

    Raises:
        ConfigError: it cannot be made from the files as they are.
    """

    def __init__(self, paths: Sequence[str], load: Callable[[], Value], what: str) -> None:
        self._paths = [Path(path) for path in paths]
        self._load = load
        self._what = what
        self._change = Change(self._signature())  # before they are read: no change is missed
        self.value = load()

    def look(self) -> None:
        """Read the files again, if they have changed since; a look later, for half-written ones."""
        if not self._change.settled(self._signature()):
            return
        try:
            self.value = self._load()
        except ConfigError as error:
            _log.warning("the old ones stay at work", what=self._what, why="; ".join(error.lines))
        else:
            _log.info("read again", what=self._what)

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_signature(path) for path in self._paths)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_bytes(setting: str, path: str) -> bytes:
    """A file that a setting names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path}: {error.strerror}"]) from None
