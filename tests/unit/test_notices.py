"""When a waiting caller hears where it stands, on a clock that the test moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from headgate.notices import MAX_GAP, MIN_GAP, Notices
from headgate.upstream import Place

if TYPE_CHECKING:
    from headgate.v1 import chat_pb2 as pb


class Line:
    """A place in line that the test changes; counts how often it was asked for."""

    def __init__(self, position: int = 3, wait: float | None = 9.0) -> None:
        self.place = Place(position, wait, exact=True)
        self.asked = 0

    def __call__(self) -> Place:
        self.asked += 1
        return self.place

    def move(self, position: int, wait: float | None) -> None:
        self.place = Place(position, wait, exact=True)


def waiting(line: Line, **options: float) -> Notices:
    notices = Notices(0.0, queue_updates=True, **options)
    notices.queued(line)
    return notices


def told(notices: Notices, now: float) -> int | None:
    """The position that the event due now tells; None when it is no Queued."""
    event = notices.due(now)
    if event is None or event.WhichOneof("event") != "queued":
        return None
    notices.sent(now)
    return event.queued.position


def test_a_caller_that_did_not_ask_hears_nothing() -> None:
    """Nobody looks at the line for it either."""
    line = Line()
    notices = Notices(0.0, queue_updates=False)
    notices.queued(line)
    assert notices.due(0.0) is None
    assert notices.next_at() == math.inf
    assert line.asked == 0


def test_a_call_that_starts_at_once_is_never_queued() -> None:
    """Without a wait there is nothing to tell, ever."""
    notices = Notices(0.0, queue_updates=True)
    assert notices.due(100.0) is None
    assert notices.next_at() == math.inf


def test_the_first_place_is_told_at_once() -> None:
    """Position, wait, and whether it is arithmetic."""
    event = waiting(Line()).due(0.0)
    assert event is not None
    assert (event.queued.position, event.queued.exact) == (3, True)
    assert event.queued.estimated_wait.ToSeconds() == 9


def test_a_change_is_told_but_not_twice_within_the_gap() -> None:
    """At most twice a second, however often the line moves."""
    line = Line()
    notices = waiting(line)
    assert told(notices, 0.0) == 3
    line.move(2, 8.5)
    assert told(notices, MIN_GAP - 0.01) is None
    assert notices.next_at() == MIN_GAP
    assert told(notices, MIN_GAP) == 2


def test_looking_is_bounded_too() -> None:
    """Ten thousand waiters must not ask for their places at every wake-up."""
    line = Line()
    notices = waiting(line)
    for step in range(100):
        notices.due(step / 100)
    assert line.asked == 2


def test_an_estimate_that_holds_is_not_repeated() -> None:
    """Nine seconds left, a second later eight: the same slot."""
    line = Line(3, 9.0)
    notices = waiting(line)
    assert told(notices, 0.0) == 3
    line.move(3, 8.0)
    assert told(notices, 1.0) is None
    line.move(3, 8.0)
    assert told(notices, 2.0) == 3


def test_at_least_every_fifteen_seconds() -> None:
    """Also when nothing changes."""
    line = Line(3, None)
    notices = waiting(line)
    assert told(notices, 0.0) == 3
    assert told(notices, MAX_GAP - 0.01) is None
    assert told(notices, MAX_GAP + MIN_GAP) == 3


def test_an_unknown_wait_is_unset() -> None:
    """No zero where nothing can be said; and a slot in the past is zero, not negative."""
    line = Line(1, None)
    event = waiting(line).due(0.0)
    assert event is not None
    assert not event.queued.HasField("estimated_wait")
    line.move(1, -0.2)
    late = waiting(line).due(0.0)
    assert late is not None
    assert late.queued.estimated_wait.ToNanoseconds() == 0


def test_known_and_unknown_are_a_change() -> None:
    """An estimate that comes or goes is told."""
    line = Line(1, None)
    notices = waiting(line)
    assert told(notices, 0.0) == 1
    line.move(1, 4.0)
    assert told(notices, 1.0) == 1


def test_a_failed_attempt_is_told_anew() -> None:
    """The same place again is news when the call has to wait again."""
    line = Line(3, None)
    notices = waiting(line)
    assert told(notices, 0.0) == 3
    notices.running()
    assert told(notices, 10.0) is None
    notices.queued(line)
    assert told(notices, 10.0) == 3


def test_once_running_nothing_is_told() -> None:
    """Queued comes only before started."""
    line = Line()
    notices = waiting(line)
    notices.running()
    assert notices.due(0.0) is None
    assert notices.next_at() == math.inf


def kind(event: pb.StreamChatResponse | None) -> str | None:
    return None if event is None else event.WhichOneof("event")


def test_heartbeats_fill_silence_only() -> None:
    """Due when nothing was sent for the interval; anything sent moves it."""
    notices = Notices(0.0, queue_updates=False, heartbeat=5.0)
    assert notices.due(4.9) is None
    notices.sent(4.0)
    assert notices.due(8.9) is None
    assert notices.next_at() == 9.0
    assert kind(notices.due(9.0)) == "heartbeat"


def test_a_queued_event_is_a_sign_of_life_too() -> None:
    """No heartbeat right behind it."""
    line = Line()
    notices = waiting(line, heartbeat=5.0)
    assert kind(notices.due(5.0)) == "queued"
    notices.sent(5.0)
    assert notices.due(5.0) is None


@pytest.mark.parametrize("seconds", [0.1, 5.0])
def test_heartbeats_while_waiting_in_line(seconds: float) -> None:
    """A line that does not move leaves room for heartbeats."""
    notices = waiting(Line(3, None), heartbeat=seconds)
    assert told(notices, 0.0) == 3
    assert kind(notices.due(seconds)) == "heartbeat"
