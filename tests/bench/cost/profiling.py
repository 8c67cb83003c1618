"""A look into a gateway at work: py-spy from its package, with the native frames."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.cost.table import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bench.cost.process import Process

VERSION = "0.4.1"
TOOLS = ROOT / ".tools" / f"py-spy-{VERSION}"
TOP = 30


async def install() -> Path:
    """The program, installed on first use."""
    program = TOOLS / "bin" / "py-spy"
    if not program.exists():
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        for command in (
            [sys.executable, "-m", "venv", str(TOOLS)],
            [*pip, "install", f"py-spy=={VERSION}"],
        ):
            process = await asyncio.create_subprocess_exec(*command)
            if await process.wait():
                raise RuntimeError(f"failed: {' '.join(command)}")
    return program


@asynccontextmanager
async def profiled(process: Process, file: Path | None) -> AsyncIterator[None]:
    """Sample a Python process into a file of folded stacks, if there is one; tells the top."""
    if file is None:
        yield
        return
    _make_room(file)
    spy = await asyncio.create_subprocess_exec(
        *(await install(), "record", "--native", "--format", "raw", "--rate", "100"),
        *("--threads", "--pid", str(process.pid), "--output", str(file)),
        *("--duration", "unlimited"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield
    finally:
        if spy.returncode is None:
            spy.send_signal(signal.SIGINT)
        _, said = await spy.communicate()
    if spy.returncode:
        raise RuntimeError(f"py-spy failed:\n{said.decode()}")
    sys.stderr.write(f"{_summary(file)}the stacks: {file}\n")


def _make_room(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)


def _summary(file: Path) -> str:
    """Functions by the share of samples that were in them, and in what they call."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in file.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    total = max(1, own.total())
    lines = ["  own within function"]
    lines += [
        f"{count / total:5.1%} {within[frame] / total:6.1%} {frame}"
        for frame, count in own.most_common(TOP)
    ]
    lines += ["within function of headgate"]
    ours = [(frame, count) for frame, count in within.most_common() if "headgate/" in frame]
    lines += [f"{count / total:6.1%} {frame}" for frame, count in ours[:TOP]]
    return "\n".join(lines) + "\n"
