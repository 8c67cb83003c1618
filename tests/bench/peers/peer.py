"""A peer: how it is installed, pinned and in a folder of its own, started, and called."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import string
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cost.answers import Answer, Tally
from bench.cost.callers import Target, caller
from bench.cost.process import Process
from bench.cost.running import MEASURED, on
from bench.cost.table import ROOT
from support.ports import free_port
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.running import Mock

CONFIG = Path(__file__).parent / "config"
TOOLS = ROOT / ".tools"
READY = 90.0
"""Seconds in which a peer must answer its first call."""


class Running(Process):
    """A running peer, or headgate.

    Attributes:
        target: how it is called.
    """

    def __init__(self, pid: int, target: Target) -> None:
        super().__init__(pid)
        self.target = target


class Peer(ABC):
    """One of them.

    Attributes:
        name: in the table.
        version: which is pinned.
    """

    name: str
    version: str

    @abstractmethod
    async def install(self) -> None:
        """Once; RuntimeError says what failed."""

    @abstractmethod
    def command(self, port: int, folder: Path) -> list[str]: ...

    def config(self) -> str:
        """The name of its file in config/, which is written into the folder; or nothing."""
        return ""

    def environment(self, mock: Mock) -> dict[str, str]:
        """Variables that it needs."""
        del mock
        return {}

    def headers(self, mock: Mock) -> dict[str, str]:
        """Of every request."""
        del mock
        return {}

    @asynccontextmanager
    async def running(self, mock: Mock) -> AsyncIterator[Running]:
        """On the core that is measured, until it answers a call."""
        await self.install()
        port = free_port()
        target = Target("http", f"127.0.0.1:{port}", 0, headers=self.headers(mock))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.config():
                _fill(CONFIG / self.config(), folder, mock, port)
            with on(MEASURED):
                process = await asyncio.create_subprocess_exec(
                    *self.command(port, folder),
                    env=clean_environment() | self.environment(mock),
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                    stderr=_open(folder / "stderr"),
                    preexec_fn=os.setpgrp,  # a group to end, and the same session
                )
            try:
                await _ready(target, process, folder / "stderr")
                yield Running(process.pid, target)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()


def _open(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)


def _fill(template: Path, folder: Path, mock: Mock, port: int) -> None:
    """Write a configuration with the addresses of this run."""
    host, _, upstream = mock.address.rpartition(":")
    names = {"PORT": port, "FOLDER": folder, "UPSTREAM": mock.address}
    names |= {"UPSTREAM_HOST": host, "UPSTREAM_PORT": upstream}
    text = string.Template(template.read_text(encoding="utf-8")).safe_substitute(names)
    (folder / template.name).write_text(text, encoding="utf-8")


async def _ready(target: Target, process: asyncio.subprocess.Process, said: Path) -> None:
    """Wait until it has answered a call.

    Raises:
        RuntimeError: it did not; with what it said.
    """
    failure = "it never listened"
    try:
        async with asyncio.timeout(READY):
            while process.returncode is None:
                try:
                    failure = await call_once(target)
                except OSError:
                    failure = "it never listened"
                if not failure:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        pass
    text = said.read_text(errors="replace")[-2000:]  # noqa: ASYNC240 - the run is over
    raise RuntimeError(f"does not serve ({failure}, status {process.returncode}): {text}")


async def call_once(target: Target) -> str:
    """Make one call; gives what failed, or nothing."""
    line = caller(target._replace(connections=1))
    await line.open()
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answer = Answer(Tally(), lambda answer: done.set_result(answer.failure))
    line.begin(answer, model="any", tokens=1, stream=False)
    failure = await done
    line.close()
    return failure


async def run(*command: str | Path) -> None:
    """RuntimeError says which command failed, and with what words."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {said.decode(errors='replace')[-500:]}")


async def environment(folder: Path, *arguments: str) -> None:
    """A Python environment with these packages, made once."""
    ready = folder / ".ready"
    if ready.exists():
        return
    await run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q")
    await run(*pip, "install", *arguments)
    ready.touch()


async def crate(folder: Path, program: str, *arguments: str) -> None:
    """A program of crates.io, built once with the dependencies that it was published with."""
    if not (folder / "bin" / program).exists():
        await run(needed("cargo"), "install", "--quiet", "--locked", "--root", folder, *arguments)


def needed(program: str) -> str:
    """The path of a program of the system's.

    Raises:
        RuntimeError: it is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(f"{program} is not installed")
    return found
