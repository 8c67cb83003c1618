"""The lines of the log: their form, what is kept out of them, and how many there may be."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import LogSettings, log_warnings
from headgate.errors import UpstreamUnavailable
from headgate.logs.attempts import host_of
from headgate.logs.calls import labels_of, name_or_class
from headgate.logs.repeats import Repeats
from headgate.logs.tracebacks import traceback_of, words_of
from headgate.outlet import PIECE, Outlet
from support.processes import clean_environment

START = """
import logging, structlog
from headgate.config import LogSettings
from headgate.logs import configure_logs, hide, set_level
log = structlog.get_logger("headgate")
"""


def said(program: str) -> list[dict[str, Any]]:
    """The lines of a process of its own: logging is set up once in each."""
    done = subprocess.run(
        [sys.executable, "-c", START + program],
        env=clean_environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == b""
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


def test_a_line_is_a_json_object() -> None:
    """Time, level and event first; nothing in a value can break it, or make another line."""
    program = r"""
configure_logs()
log.info("one", text='a "quote"\nand a line', half="\ud83d", thing=object, odd={1: {2: b"x"}})
"""
    (line,) = said(program)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["text"] == 'a "quote"\nand a line'
    assert line["thing"] == "<class 'object'>"


def test_levels() -> None:
    """Below the level nothing is written; it can change while the process runs."""
    program = """
configure_logs(LogSettings(level="warning"))
for level in ("warning", "debug", "error"):
    set_level(level)
    for method in ("debug", "info", "warning", "error"):
        getattr(log, method)(level)
"""
    lines = [(line["event"], line["level"]) for line in said(program)]
    assert lines == [
        *[("warning", level) for level in ("warning", "error")],
        *[("debug", level) for level in ("debug", "info", "warning", "error")],
        ("error", "error"),
    ]


def test_every_line_of_a_worker_says_which() -> None:
    """Lines of libraries, too, and loggers that were used before the settings were known."""
    program = """
configure_logs()
log.info("early")
configure_logs(worker=3)
log.info("late")
logging.getLogger("some.library").warning("said %s", "this")
logging.getLogger("some.library").info("not this")
"""
    early, late, library = said(program)
    assert ("worker" in early, late["worker"], library["worker"]) == (False, 3, 3)
    assert (library["event"], library["logger"]) == ("said this", "some.library")
    assert "template" not in library


def test_a_reader_that_is_stuck_loses_lines_and_hears_how_many() -> None:
    """What is said meanwhile is not waited for; what comes through is whole lines."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2 * PIECE)
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "wb") as file:
        outlet = Outlet(file)
        sizes = [100, 2 * PIECE, 100, 100]  # the second is torn where the pipe is full
        for size in sizes:
            outlet.write(b"x" * size + b"\n")
        assert outlet.lost == 3
        heard = reader.read(2 * PIECE)
        outlet.write(b"back\n")
        heard += reader.read(PIECE)
    assert outlet.lost == 0
    first, torn, last = heard.splitlines()
    assert (len(first), last) == (100, b"back")
    assert torn == b"x" * PIECE


def test_the_line_that_comes_through_says_how_many_did_not() -> None:
    """As JSON, in a field of the line."""
    program = """
import fcntl, os
reading, writing = os.pipe()
fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
heard = os.dup(2)
os.dup2(writing, 2)
configure_logs()
for number in range(100):
    log.info("unheard", number=number)
through = os.read(reading, 4096)
log.info("back")
os.write(heard, through + os.read(reading, 4096))
"""
    *through, back = said(program)
    assert [line["number"] for line in through] == list(range(len(through)))
    assert back["event"] == "back"
    assert back["lines_lost"] == 100 - len(through)


def test_secrets_are_hidden_wherever_they_are() -> None:
    """In texts, in nested values, as JSON spells them; also those that became known later."""
    program = r"""
configure_logs(secrets=['planted"secret', "short"])
hide(["Bearer planted-later"])
log.info('event planted"secret', labels={"a": ['planted"secret']}, other="planted-later short")
logging.getLogger("x").error("%s", 'planted"secret')
"""
    lines = said(program)
    assert "planted" not in str(lines)
    assert [line["event"] for line in lines] == ["event ***", "***"]
    assert lines[0]["other"] == "*** short"  # what is so short would hide ordinary words


def test_a_traceback_holds_no_values() -> None:
    """Frames and the names of exceptions, with what led to them; through both ways to log."""
    program = """
configure_logs()
def inner(prompt):
    try:
        {}[prompt]
    except KeyError as error:
        raise ValueError(f"cannot read {prompt}") from error
for tell in (log.exception, logging.getLogger("x").exception):
    try:
        inner("PLANTED")
    except ValueError:
        tell("failed")
"""
    lines = said(program)
    assert len(lines) == 2
    for line in lines:
        assert line["level"] == "error"
        assert line["exception"].count("Traceback (most recent call last):") == 2
        assert "KeyError (its words are withheld)" in line["exception"]
        assert line["exception"].endswith("ValueError (its words are withheld)")
        assert "PLANTED" not in json.dumps(line).replace('inner(\\"PLANTED\\")', "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TypeError("'NoneType' object is not iterable"), "TypeError: 'NoneType' object is not"),
        (AttributeError("no attribute x"), "AttributeError: no attribute x"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: Connection"),
        (OSError("what somebody said"), "OSError"),
        (ValueError("what somebody said"), "ValueError (its words are withheld)"),
        (UpstreamUnavailable("what it said"), "UpstreamUnavailable (UPSTREAM_UNAVAILABLE)"),
        (asyncio.CancelledError(), "CancelledError"),
        (ExceptionGroup("said", [KeyError("said")]), "ExceptionGroup of KeyError (its words"),
    ],
)
def test_words_of_exceptions(error: BaseException, words: str) -> None:
    """Kept where they speak of the program or the system, withheld where they may quote."""
    assert words_of(error).startswith(words)
    assert "said" not in words_of(error)


def test_a_chain_of_exceptions_has_an_end() -> None:
    """Errors that lead to each other are told only so far."""
    first, second = ValueError(), TypeError()
    first.__context__, second.__context__ = second, first
    assert traceback_of(first).count("Traceback") == 11


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def through(repeats: Repeats, method: str = "warning", **event: Any) -> dict[str, Any] | None:
    try:
        return dict(repeats(None, method, {"event": "failed", **event}))
    except structlog.DropEvent:
        return None


def test_a_warning_that_repeats_is_left_out_and_counted() -> None:
    """A few in each while; the next one says how many were not written."""
    clock = Clock()
    repeats = Repeats(burst=2, seconds=10, clock=clock)
    passed = [through(repeats, host="a", request_id=str(number)) for number in range(5)]
    assert [line is not None for line in passed] == [True, True, False, False, False]
    assert through(repeats, host="b") is not None  # that is another warning
    clock.now = 10
    late = through(repeats, host="a")
    assert late is not None
    assert late["left_out"] == 3
    again = through(repeats, host="a")
    assert again is not None
    assert "left_out" not in again


@pytest.mark.parametrize(
    ("method", "event"), [("info", {}), ("error", {}), ("warning", {"event": "call"})]
)
def test_other_lines_are_never_left_out(method: str, event: dict[str, Any]) -> None:
    """An error may be the one that a caller was sent to; and each call has its line."""
    repeats = Repeats(burst=1)
    assert all(through(repeats, method, **event) for _ in range(9))


def test_a_librarys_line_is_known_by_its_template() -> None:
    """What it fills in, such as the seconds to a retry, makes no other line of it."""
    repeats = Repeats(burst=1)
    lines = [
        through(repeats, "error", event=f"in {number} s", logger="x", template="in %s s")
        for number in range(3)
    ]
    assert [line is not None for line in lines] == [True, False, False]


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 30)), max_size=200))
def test_repeats_remember_a_bounded_number_and_lose_no_count(
    events: list[tuple[int, float]],
) -> None:
    """Every line is written, or counted in one that is, or still untold."""
    clock = Clock()
    repeats = Repeats(burst=2, seconds=10, room=50, clock=clock)
    told = 0
    for kind, pause in events:
        clock.now += pause
        left_out = repeats.due(str(kind))
        told += 0 if left_out is None else 1 + left_out
    untold = sum(seen.left_out for seen in repeats._seen.values())
    assert told + untold == len(events)
    assert len(repeats._seen) <= 41
    few = Repeats(room=3)
    for kind, _ in events:
        few.due(str(kind))
    assert len(few._seen) <= 3


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        ("search", "search"),
        ("spiffe://example.org/a", "spiffe://example.org/a"),
        ("local", "local"),
        ("127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("8.8.8.8", "public"),
        ("2001:4860:4860::/64", "public"),
        ("fd00:1::/64", "private"),
        ("Zo\u00eb\u00a0K", "Zo\u00eb\u00a0K"),  # stated by a trusted peer, no credential could
        ("\udcff", "\udcff"),
    ],
)
def test_addresses_are_told_by_their_kind(caller: str, shown: str) -> None:
    """Names are names; an address is a person's in many places."""
    assert name_or_class(caller) == shown


def test_labels_are_cut() -> None:
    """As many and as long as a line can bear."""
    labels = labels_of({f"{number:03}" + "k" * 200: "v" * 200 for number in range(50)})
    assert len(labels) == 16
    assert {(len(name), len(value)) for name, value in labels.items()} == {(128, 128)}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.org/v1/chat?key=x", "example.org:443"),
        ("http://u:p@example.org/api", "example.org:80"),
        ("http://[::1]:8080/api", "[::1]:8080"),
    ],
)
def test_a_host_is_all_of_a_url_that_is_written(url: str, host: str) -> None:
    """No path, no query, no user."""
    assert host_of(url) == host


def test_prompts_are_warned_of() -> None:
    """In words that name the setting; without it there is nothing to say."""
    (line,) = log_warnings(LogSettings(prompts=True))
    assert line.startswith("WARNING: ")
    assert "log.prompts" in line
    assert log_warnings(LogSettings()) == []
