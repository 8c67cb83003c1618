"""The event decoder against a plain reading of the standard, on arbitrary bytes and splits."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from headgate.sse import Event, EventTooLarge, SSEDecoder, encode_event

LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.one_of(
    st.sampled_from(
        [b"", b"", b"data", b"data:", b"data: ", b": ping", b"event: error", b"event", b"id: 1"]
    ),
    st.binary(max_size=12).map(lambda value: b"data: " + value),
    st.binary(max_size=12).map(lambda value: b"data:" + value),
    st.text(max_size=6).map(lambda value: b"data: " + value.encode()),
    st.binary(max_size=12),
)


def streams(ends: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Lines with these ends, perhaps behind a byte order mark, perhaps cut off."""
    return st.builds(
        lambda mark, lines, rest: mark + b"".join(line + end for line, end in lines) + rest,
        st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"]),
        st.lists(st.tuples(LINES, ends), max_size=20),
        st.one_of(st.just(b""), LINES),
    )


STREAMS = streams(LINE_ENDS) | streams(st.just(b"\n"))


def reference(stream: bytes) -> list[Event]:
    """The whole stream at once, line by line, as the standard describes it."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[Event] = []
    data: list[bytes] = []
    name = ""
    *lines, rest = text.split(b"\n")
    for line in lines + [rest] * bool(rest):
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            events += [Event(b"\n".join(data), name)] if data else []
            data, name = [], ""
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode(errors="replace")
    return events + ([Event(b"\n".join(data), name, cut=True)] if data else [])


def parts_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Consecutive pieces of the stream; the cuts may meet, which gives empty reads."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def run(parts: list[bytes], limit: int = 1 << 20) -> tuple[list[Event], bool]:
    """The events, and whether the decoder then refused to go on."""
    decoder = SSEDecoder(max_event_bytes=limit)
    events: list[Event] = []
    try:
        for part in parts:
            events += decoder.feed(part)
            assert len(decoder._line) + len(decoder._data or b"") <= limit
        events += decoder.close()
    except EventTooLarge:
        return events, True
    return events, False


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=12))
@example(b"data: 1\r\ndata: 2\r\n\r\n", [8, 8])
def test_any_split_gives_what_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    """Arbitrary lines, line ends and reads, against the plain reference."""
    assert run(parts_of(stream, cuts)) == (reference(stream), False)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=12))
def test_any_bytes_at_all_are_read_as_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    """Noise is no reason to fail."""
    assert run(parts_of(stream, cuts)) == (reference(stream), False)


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=12), st.integers(1, 40))
def test_the_limit_strikes_at_the_same_event_wherever_reads_end(
    stream: bytes, cuts: list[int], limit: int
) -> None:
    """The events before the oversized one are always handed out, and never more is held."""
    events, refused = run([stream], limit)
    assert run(parts_of(stream, cuts), limit) == (events, refused)
    whole = reference(stream)
    assert events == (whole[: len(events)] if refused else whole)


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.sampled_from(["", "error"])), max_size=10),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_written_events_are_read_back(sent: list[tuple[bytes, str]], cuts: list[int]) -> None:
    """Whatever the data, one event out for one event in."""
    stream = b"".join(encode_event(data, name) for data, name in sent)
    lf = [(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), name) for data, name in sent]
    assert run(parts_of(stream, cuts)) == ([Event(data, name) for data, name in lf], False)
