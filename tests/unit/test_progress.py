"""What happened to a call, on a clock that the test moves."""

from __future__ import annotations

from headgate.errors import UpstreamUnavailable
from headgate.progress import Progress
from headgate.upstream import Place


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def place() -> Place:
    return Place(1, None, exact=False)


def started() -> tuple[Clock, Progress]:
    clock = Clock()
    return clock, Progress(clock)


def test_a_call_that_never_went_upstream() -> None:
    """Nothing is counted, and the time is the gateway's own."""
    clock, progress = started()
    clock.now += 0.5
    assert (progress.attempts, progress.queue_wait, progress.upstream_so_far()) == (0, 0.0, 0.0)
    assert progress.time_to_first_delta is None
    assert progress.overhead() == 0.5
    assert progress.phase == "checking"


def test_two_attempts_with_waits() -> None:
    """Waits and attempts add up over all attempts; what is left is the gateway's."""
    clock, progress = started()
    clock.now += 1  # checking
    phases: list[str] = [progress.phase]
    progress.queued(place)
    phases.append(progress.phase)
    clock.now += 2
    progress.attempt_started()
    phases.append(progress.phase)
    clock.now += 4
    error = UpstreamUnavailable("gone")
    progress.attempt_ended(error)
    clock.now += 8  # backoff
    progress.queued(place)
    clock.now += 16
    progress.attempt_started()
    clock.now += 32
    progress.delta_sent()
    phases.append(progress.phase)
    clock.now += 64

    assert phases == ["checking", "queued", "waiting for the first token", "streaming"]

    assert progress.attempts == 2
    assert progress.queue_wait == 18
    assert progress.upstream_so_far() == 100
    assert progress.time_to_first_delta == 63
    assert progress.overhead() == 9
    progress.attempt_ended(None)
    assert progress.upstream_time == 100


def test_queued_twice_is_one_wait() -> None:
    """A call that waits for its own allowance and then for a slot waits once."""
    clock, progress = started()
    progress.queued(place)
    clock.now += 1
    progress.queued(place)
    clock.now += 1
    progress.attempt_started()
    assert progress.queue_wait == 2


def test_only_the_first_delta_counts() -> None:
    """Later ones change nothing."""
    clock, progress = started()
    clock.now += 1
    progress.delta_sent()
    clock.now += 1
    progress.delta_sent()
    assert progress.time_to_first_delta == 1


def test_listeners_hear_of_it() -> None:
    """Those who tell the caller are called when it waits and when it goes on."""
    _, progress = started()
    heard: list[object] = []
    progress.on_queued = heard.append
    progress.on_attempt = lambda: heard.append("attempt")
    progress.queued(place)
    progress.attempt_started()
    assert heard == [place, "attempt"]


def test_a_stray_end_is_no_time() -> None:
    """An end without a start does not count from the beginning of time."""
    clock, progress = started()
    clock.now += 5
    progress.attempt_ended(None)
    assert progress.upstream_time == 0
