"""An operator's page, run from top to bottom as a person would, with its ports exchanged."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.ports import free_port
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "deploy" / "docs"
START = 30.0
"""Seconds that a server may take to start."""

_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The commands of one page.

    Args:
        name: of the file.
        folder: where they run.
        ports: that stand in the page, and what takes their place; others for free ones.
    """

    def __init__(self, name: str, folder: Path, ports: dict[str, str]) -> None:
        self.text = (PAGES / name).read_text(encoding="utf-8")
        self.ports = ports
        places = re.compile(rf"(?<=[: ])({'|'.join(ports)})\b")
        exchanged = places.sub(lambda found: ports[found[0]], self.text)
        self.blocks: list[str] = _BLOCK.findall(exchanged)
        self._folder = folder

    def run(self, block: str) -> str:
        """Run a block that ends; what it says."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self._folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def served(self, block: str) -> Iterator[None]:
        """Run a block that serves, from when it takes calls to the end of this.

        It says so to this test as it would to systemd.
        """
        manager = self._folder / "manager"
        said = self._folder / "said"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
            said.open("w+") as stderr,
        ):
            listener.bind(str(manager))
            listener.settimeout(START)
            try:
                with subprocess.Popen(
                    ["bash", "-c", f"exec {block}"],
                    cwd=self._folder,
                    env=_environment() | {"NOTIFY_SOCKET": str(manager)},
                    stderr=stderr,
                ) as process:
                    try:
                        _until_ready(listener, said)
                        yield
                    finally:
                        process.send_signal(signal.SIGTERM)
            finally:
                manager.unlink()

    def run_all(self) -> list[str]:
        """In order; each server until the next one is started, or the end. What each block says."""
        said = []
        with ExitStack() as server:
            for block in self.blocks:
                if block.startswith("headgate serve"):
                    server.close()
                    server.enter_context(self.served(block))
                    said.append("")
                else:
                    said.append(self.run(block))
        return said


def free_ports(*named: str) -> dict[str, str]:
    """For each of these a port that nobody has."""
    return {name: str(free_port()) for name in named}


def _environment() -> dict[str, str]:
    """The commands of this environment come first."""
    own = str(Path(sys.executable).parent)
    return clean_environment() | {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}


def _until_ready(listener: socket.socket, said: Path) -> None:
    try:
        while b"READY=1" not in listener.recv(4096):
            pass
    except TimeoutError:
        raise AssertionError(f"it does not serve:\n{said.read_text()}") from None
