"""Server-sent events, as upstreams really send them."""

from __future__ import annotations

import pytest

from headgate.sse import Event, EventTooLarge, SSEDecoder, encode_event

RECORDED = (
    "\ufeff: hello\r\n\r\n"
    'data: {"id":"1","choices":[{"delta":{"content":"Grüße, 中\u2028\u0085文 😀"}}]}\r\n\r\n'
    'data:{"no":"space"}\n\n'
    "event: error\rdata: first\rdata:  second\r\r"
    "id: 7\nretry: 10\nunknown: x\ndata\n\n"
    ": ping\n\n"
    "data: [DONE]\n\n"
).encode()

EVENTS = [
    Event('{"id":"1","choices":[{"delta":{"content":"Grüße, 中\u2028\u0085文 😀"}}]}'.encode()),
    Event(b'{"no":"space"}'),
    Event(b"first\n second", "error"),
    Event(b""),
    Event(b"[DONE]"),
]


def decode(*parts: bytes, limit: int = 1 << 24) -> list[Event]:
    decoder = SSEDecoder(max_event_bytes=limit)
    events = [event for part in parts for event in decoder.feed(part)]
    return events + decoder.close()


def test_a_recorded_stream_is_read_whole() -> None:
    """Comments, BOM, every line end, both spellings of data, ignored fields."""
    assert decode(RECORDED) == EVENTS


@pytest.mark.parametrize("at", range(len(RECORDED) + 1))
def test_a_split_at_any_byte_changes_nothing(at: int) -> None:
    """One stream in two reads, cut at every offset, gives the same events."""
    assert decode(RECORDED[:at], RECORDED[at:]) == EVENTS


def test_one_byte_at_a_time_changes_nothing() -> None:
    """The smallest reads there are."""
    assert decode(*(RECORDED[at : at + 1] for at in range(len(RECORDED)))) == EVENTS


def test_an_event_is_out_as_soon_as_its_blank_line_is_in() -> None:
    """A CR ends the line at once; the LF that may follow is not waited for."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: 1\r\n\r") == [Event(b"1")]
    assert decoder.feed(b"\ndata: 2\n\n") == [Event(b"2")]


def test_a_read_of_nothing_keeps_a_split_crlf_together() -> None:
    """An empty read between CR and LF is no blank line."""
    assert decode(b"data: 1\r", b"", b"\ndata: 2\r", b"\n\r", b"\n") == [Event(b"1\n2")]


def test_only_one_lf_belongs_to_a_cr() -> None:
    """CR, LF and LF in three reads are the end of a line and a blank line."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: 1\r") == decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == [Event(b"1")]


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x00"])
def test_only_cr_and_lf_end_a_line(odd: str) -> None:
    """What str.splitlines takes for a line end stays inside the data."""
    data = f'{{"content":"a{odd}b"}}'.encode()
    assert decode(b"data: " + data + b"\n\n") == [Event(data)]


def test_an_event_without_data_is_no_event() -> None:
    """And its name does not stick to the next one."""
    assert decode(b"event: ping\n\ndata: 1\n\n") == [Event(b"1")]


@pytest.mark.parametrize("before", [b"", b"\n", b": ping\n\n"])
def test_many_events_in_a_read_are_read_like_one_by_one(before: bytes) -> None:
    """The first read, and one that begins between two events."""
    read = b"data: 1\n\ndata: 2\ndata: 3\n\n\ndata:4\n\nevent: a\ndata: 5\n\ndata: 6\n"
    events = [Event(b"1"), Event(b"2\n3"), Event(b"4"), Event(b"5", "a")]
    assert decode(before, read, b"\n") == [*events, Event(b"6")]


def test_only_one_space_after_the_colon_is_dropped() -> None:
    """As the standard has it."""
    assert decode(b"data:  1 \n\nevent:a\ndata:\t1\n\n") == [Event(b" 1 "), Event(b"\t1", "a")]


def test_a_byte_order_mark_inside_the_stream_is_not_dropped() -> None:
    """Only the first three bytes of all may be one."""
    assert decode(b"\n\xef\xbb\xbfdata: 1\n\ndata: 2\n\n") == [Event(b"2")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_the_end_of_the_stream_hands_out_the_open_event(end: bytes) -> None:
    """Some upstreams end on [DONE] without the blank line."""
    assert decode(b"data: 1\n\ndata: [DONE]" + end) == [Event(b"1"), Event(b"[DONE]", "", cut=True)]


def test_a_stream_that_ended_well_leaves_nothing_open() -> None:
    """A comment or a name at the end is no event either."""
    assert decode(b"data: 1\n\n: bye\nevent: x") == [Event(b"1")]


LIMIT = 40


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * LIMIT,
        b"x" * (LIMIT + 1),
        b": " + b"x" * LIMIT,
        b"data: 1\n" * 10,
        b"data\n" * 11,
        b"event: " + b"x" * 14 + b"\ndata: " + b"x" * 14,
        b"event: x\n" * 6,
    ],
    ids=["line", "no field", "comment", "lines", "empty lines", "name and data", "names"],
)
@pytest.mark.parametrize("end", [b"", b"\n\n"], ids=["open", "whole"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_over_the_limit_is_an_error(stream: bytes, end: bytes, size: int) -> None:
    """Ended or not, in one read or in many; the message names the limit."""
    stream = b"data: ok\n\n" + stream + end
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    events: list[Event] = []
    with pytest.raises(EventTooLarge, match="40 bytes"):  # noqa: PT012 - any of the reads may raise
        for at in range(0, len(stream), size):
            events += decoder.feed(stream[at : at + size])
        decoder.close()
    assert events == [Event(b"ok")]


def test_a_whole_event_over_the_limit_is_an_error_in_a_later_read() -> None:
    """The way through for whole events keeps the same limit."""
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    assert decoder.feed(b"data: 1\n\n") == [Event(b"1")]
    too_large = b"data: " + b"x" * (LIMIT - 5) + b"\n\n"
    assert decoder.feed(b"data: 2\n\n" + too_large + b"data: 3\n\n") == [Event(b"2")]
    with pytest.raises(EventTooLarge):
        decoder.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_at_the_limit_is_none(size: int) -> None:
    """Exactly the limit is allowed, again and again, and ended comments do not count."""
    event = b": ping, ping, ping\ndata: " + b"x" * (LIMIT - 6) + b"\n\n"
    stream = event * 3
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert decode(*parts, limit=LIMIT) == [Event(b"x" * (LIMIT - 6))] * 3


def test_nothing_over_the_limit_is_held() -> None:
    """The read that would go over it is refused before it is kept, and so is all that follows."""
    decoder = SSEDecoder(max_event_bytes=LIMIT)
    decoder.feed(b"data: " + b"x" * 30)
    for _ in range(3):
        with pytest.raises(EventTooLarge):
            decoder.feed(b"x" * 1000)
    assert len(decoder._line) <= LIMIT


def test_a_huge_event_in_small_pieces_is_read_in_one_pass() -> None:
    """Every byte is kept once: the buffer grows in place and is the event at the end."""
    body = b"x" * (1 << 20)
    stream = b"data: " + body + b"\n\n"
    parts = [stream[at : at + 64] for at in range(0, len(stream), 64)]
    assert decode(*parts) == [Event(body)]


@pytest.mark.parametrize("data", [b"", b"{}", b" x ", b"a\nb", b"\n", "ü 😀".encode()])
@pytest.mark.parametrize("name", ["", "error"])
def test_what_is_written_is_read_back(data: bytes, name: str) -> None:
    """`encode_event` and the decoder agree."""
    assert decode(encode_event(data, name)) == [Event(data, name)]


def test_an_event_is_framed_as_published() -> None:
    """`data: `, the JSON, a blank line."""
    assert encode_event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert encode_event(b"{}", "error") == b"event: error\ndata: {}\n\n"


def test_line_ends_inside_the_data_become_lf() -> None:
    """No data can end its own event."""
    assert decode(encode_event(b"a\r\nb\rc\r\n\r\n")) == [Event(b"a\nb\nc\n\n")]
