"""Headgate's commands as processes of their own, as a person starts them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HTTP = re.compile(r"headgate: (?:http listening on |sandbox at http://)(\S+:\d+)")


def clean_environment() -> dict[str, str]:
    """The environment without settings of headgate's, or OpenTelemetry's, and without proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HEADGATE_", "OTEL_")) and not name.lower().endswith("_proxy")
    }


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """Run `headgate ARGUMENTS` in a folder; gives the address of its HTTP listener.

    Raises:
        AssertionError: it ended, or said something else; with what it said.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "headgate", *arguments],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        address = _address(process.stderr)
        # What it goes on to say is read away, so that it never waits for a reader.
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        try:
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            reader.join()


def _address(said: Iterable[str]) -> str:
    heard = []
    for line in said:
        heard.append(line)
        if found := _HTTP.match(line):
            return found[1]
    raise AssertionError(f"headgate does not serve:\n{''.join(heard)}")
