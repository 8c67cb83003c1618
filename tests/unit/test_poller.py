"""Threads of gRPC's do not interrupt the event loop; nothing else is changed."""

from __future__ import annotations

import os
import sys
from threading import Event, Thread

import pytest

from headgate.poller import patient_threads

if sys.platform != "linux":
    pytest.skip("only Linux has such a policy", allow_module_level=True)


def policies() -> tuple[int, int]:
    """Of a thread that starts within, and of this one afterwards."""
    done = Event()
    thread = Thread(target=done.wait)
    with patient_threads():
        thread.start()
    assert thread.native_id is not None
    found = os.sched_getscheduler(thread.native_id), os.sched_getscheduler(0)
    done.set()
    thread.join()
    return found


def test_only_what_starts_within_is_patient() -> None:
    """The loop's own thread goes on as before."""
    assert policies() == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_an_operators_choice_stays() -> None:
    """A process that was started under another policy keeps it."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        assert policies() == (os.SCHED_BATCH, os.SCHED_BATCH)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_a_sandbox_may_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then everything is as it would be without."""

    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    assert policies() == (os.SCHED_OTHER, os.SCHED_OTHER)
