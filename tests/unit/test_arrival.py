"""The clock of the tests' own upstreams."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from support.arrival import listening

BUSY = 0.1
"""Seconds before the machine accepts; half of it may pass inside the kernel, if others are busy."""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells when bytes arrived")
def test_bytes_that_came_before_the_connection_was_accepted() -> None:
    """A busy machine accepts late; the request was here all the same."""
    with listening() as listener, socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"x")
        here = time.monotonic()
        time.sleep(BUSY)
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(1)
        assert accepted.arrived < here + BUSY / 2
