"""Server-sent events from bytes, and back (WHATWG HTML, section 9.2 "Server-sent events").

No I/O and no text: lines end at CR, LF or CRLF and nowhere else, so U+2028, U+0085 and half a
character at the end of a read go through untouched. Comments and the fields `id` and `retry` are
read over; that bytes arrived at all is the caller's sign of life.
"""

from __future__ import annotations

from msgspec import Struct

DEFAULT_MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event is larger than the decoder was told to hold; `limit` is in bytes."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"an event is larger than {limit} bytes")
        self.limit = limit


class Event(Struct, frozen=True, gc=False):
    r"""One event.

    Attributes:
        data: its `data` lines, joined by `\n`.
        event: its `event` name, empty when it has none.
        cut: the stream ended before the event's blank line, so `data` may be only its beginning.
    """

    data: bytes
    event: str = ""
    cut: bool = False


class SSEDecoder:
    """Bytes go in as they arrive, events come out; the same ones wherever the bytes were split.

    Args:
        max_event_bytes: the most bytes that the `data` and `event` lines of one event may have,
            and any single line, ended or not. Nothing above it is ever held.
    """

    def __init__(self, *, max_event_bytes: float = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._started = False
        self._after_cr = False
        self._line = bytearray()
        self._data: bytes | bytearray | None = None
        self._name = ""
        self._held = 0
        self._fault: EventTooLarge | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete.

        Raises:
            EventTooLarge: once an event exceeds the limit. Events before it are handed out first:
                when the same read holds some, the next `feed` or `close` raises instead.
        """
        if self._fault is not None:
            raise self._fault
        if (event := self.lone(data)) is not None:
            return [event]
        events: list[Event] = []
        try:
            self._read(data, events)
        except EventTooLarge as fault:
            self._fault = fault
            if not events:
                raise
        return events

    def lone(self, data: bytes) -> Event | None:
        """The event, if the bytes are one of one line and no other is open, as most reads are.

        The decoder stays as it is.
        """
        length = len(data) - 2
        if (
            data.startswith(b"data: ")
            and data.find(b"\n") == length
            and data.endswith(b"\n")
            and self._started
            and not (self._held or self._line or self._after_cr or self._fault)
            and b"\r" not in data
            and length <= self._max
        ):
            return Event(data[6:-2])
        return None

    def close(self) -> list[Event]:
        """The event that the end of the stream left open, marked `cut`, or nothing.

        The standard discards it. Here it is the caller's, because some upstreams end on
        `data: [DONE]` without the blank line; data that does not parse was cut off.

        Raises:
            EventTooLarge: as `feed`.
        """
        if self._fault is not None:
            raise self._fault
        events: list[Event] = []
        self._lines([self._end_line(b"")] if self._line else [], events)
        self._dispatch(events, cut=True)
        return events

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return
        self._after_cr = data.endswith(b"\r")
        if self._started and not (self._held or self._line) and b"\r" not in data:
            data = self._whole_events(data, events)
        lines = data.splitlines()
        rest = lines.pop() if lines and not data.endswith((b"\n", b"\r")) else b""
        if lines:
            if self._line or not self._started:
                lines[0] = self._end_line(lines[0])
            self._lines(lines, events)
        if rest:
            self._check(len(self._line) + len(rest))
            self._line += rest

    def _whole_events(self, data: bytes, events: list[Event]) -> bytes:
        """The common case, at two thirds of the price: one-line events, several in a read."""
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        longest = self._max
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block and len(block) <= longest:
                events.append(Event(block[6:]))
            else:
                self._lines([*block.split(b"\n"), b""], events)
        return rest

    def _end_line(self, rest: bytes) -> bytes:
        self._check(len(self._line) + len(rest))
        line = bytes(self._line) + rest
        self._line.clear()
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        return line

    def _lines(self, lines: list[bytes], events: list[Event]) -> None:
        for line in lines:
            if not line:
                self._dispatch(events)
            elif line.startswith(b"data: "):
                self._add(line, line[6:])
            else:
                self._field(line)

    def _field(self, line: bytes) -> None:
        self._check(len(line))
        name, _, value = line.partition(b":")
        if name == b"data":
            self._add(line, value.removeprefix(b" "))
        elif name == b"event":
            self._held += len(line)
            self._name = value.removeprefix(b" ").decode(errors="replace")

    def _add(self, line: bytes, value: bytes) -> None:
        self._check(len(line))
        self._held += len(line)
        if self._data is None:
            self._data = value
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        self._data += b"\n"
        self._data += value

    def _dispatch(self, events: list[Event], *, cut: bool = False) -> None:
        if self._data is not None:
            events.append(Event(bytes(self._data), self._name, cut))
            self._data = None
        self._name = ""
        self._held = 0

    def _check(self, line: int) -> None:
        if self._held + line > self._max:
            raise EventTooLarge(self._max)


def encode_event(data: bytes, event: str = "") -> bytes:
    """One event as it goes over the wire; line ends inside `data` come out as LF."""
    name = b"event: %b\n" % event.encode() if event else b""
    if b"\n" not in data and b"\r" not in data:
        return b"%bdata: %b\n\n" % (name, data)
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return name + b"".join(b"data: %b\n" % line for line in lines) + b"\n"
