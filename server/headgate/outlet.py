"""Stderr as lines are written to it: whatever becomes of its reader, no call waits for its line."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from io import UnsupportedOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

PIECE = 4096
"""Bytes that a pipe with any room takes at once (PIPE_BUF of Linux; see pipe(7))."""
PATIENCE = 0.05
"""Seconds for which a reader that was quick enough until now is waited for."""


class Outlet:
    """Takes lines, and leaves out those for which a reader that is stuck has no room.

    A disk that is full and a reader that has gone lose lines, too.

    Attributes:
        lost: lines since the last one that got through.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.lost = 0
        self._file = file
        self._torn = False
        self._poll = select.poll()
        self._descriptor: int | None = None
        with suppress(UnsupportedOperation):  # what is no real file always has room
            self._descriptor = file.fileno()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """A whole line."""
        if self._torn:
            line = b"\n" + line
        for at in range(0, len(line), PIECE):
            if not self._has_room() or not self._put(line[at : at + PIECE]):
                self.lost += 1
                self._torn = self._torn or at > 0
                return
        self.lost, self._torn = 0, False

    def flush(self) -> None:
        """Nothing is held back."""

    def _has_room(self) -> bool:
        if self._descriptor is None:
            return True
        return bool(self._poll.poll(0 if self.lost else PATIENCE * 1000))

    def _put(self, piece: bytes) -> bool:
        try:
            if self._descriptor is None:
                self._file.write(piece)
            else:  # past the file's own buffer, which would keep what the disk did not take
                while piece:
                    piece = piece[os.write(self._descriptor, piece) :]
        except OSError:
            return False
        return True
