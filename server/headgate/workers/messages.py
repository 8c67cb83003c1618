"""What supervisor and worker say to each other: one JSON array on a line, its name first.

All times are whole microseconds of the monotonic clock, which is one for all processes of a
machine.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.telemetry.family import Family  # noqa: TC001 - a Struct's annotations are looked up at run time


class _Message(msgspec.Struct, tag=True, array_like=True):
    pass


# From the supervisor to a worker.


class Outfit(_Message):
    """The first message of all: what a worker needs to begin.

    Attributes:
        settings: as `plain_settings` makes them.
        origins: where each setting came from.
        ledger: whether the supervisor keeps the schedule.
        worker: its number.
    """

    settings: dict[str, Any]
    origins: dict[str, str]
    ledger: bool
    worker: int = 0


class Beat(_Message):
    """Are you alive?"""


class Drain(_Message):
    """Stop, as a single process does at SIGTERM."""


class Renew(_Message):
    """Go on with other settings, which are as in an Outfit."""

    number: int
    settings: dict[str, Any]
    origins: dict[str, str]


class Report(_Message):
    """What have you counted, and how are things?"""

    number: int


class Pause(_Message):
    """Another worker heard that nothing may start before this instant."""

    until: int


class Changed(_Message):
    """Another worker has entered the schedule, or left it."""


class Granted(_Message):
    """The answer to the Join or Reserve of this number; see `throttle.ledger.Standing`."""

    number: int
    instants: list[int]
    free_at: int
    members: int
    rank: int


# From a worker to the supervisor.


class Ready(_Message):
    """It serves."""


class Failed(_Message):
    """It cannot start, and ends; each line says why to a person."""

    lines: list[str]


class Alive(_Message):
    """The answer to a Beat."""


class Renewed(_Message):
    """The answer to the Renew of this number: they hold now."""

    number: int


class Reported(_Message):
    """The answer to the Report of this number.

    Attributes:
        families: all metrics.
        state: the page of state.
    """

    number: int
    families: list[Family]
    state: dict[str, Any]


class Join(_Message):
    """Enter the schedule, or come back; see `throttle.ledger.Ledger.join`."""

    number: int
    latest: int
    settle: int


class Reserve(_Message):
    """Take the next slots that are so far away; see `throttle.ledger.Ledger.reserve`."""

    number: int
    count: int
    lead: int


class Give(_Message):
    """Slots that will not be used; no answer."""

    instants: list[int]


class Stop(_Message):
    """Nothing may start before this instant; passed on to the others, no answer."""

    until: int


class Leave(_Message):
    """Out of the schedule, without what is still reserved; no answer."""


LedgerNews = Pause | Changed | Granted
ToWorker = Outfit | Beat | Drain | Renew | Report | LedgerNews
LedgerCall = Join | Reserve | Give | Stop | Leave
ToSupervisor = Ready | Failed | Alive | Renewed | Reported | LedgerCall

_encoder = msgspec.json.Encoder()
to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)
to_supervisor: msgspec.json.Decoder[ToSupervisor] = msgspec.json.Decoder(ToSupervisor)


def line(message: ToWorker | ToSupervisor) -> bytes:
    """A message as it goes over the socket."""
    return _encoder.encode(message) + b"\n"
