"""Environments of their own under `.tools`, for tools that must not mix with the project's.

Only the standard library is used: this runs before anything is installed.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# grpcio 1.71.2 and its tools have wheels for these; building them takes a compiler and an hour.
OLDEST, NEWEST = (3, 11), (3, 13)


class ToolError(Exception):
    """Something outside of the project is missing; the message is one line that says what."""


def environment(name: str, requirements: list[str], *, upgrade: bool = False) -> Path:
    """The Python of the environment `.tools/NAME`, made anew when its requirements have changed.

    Args:
        requirements: what `pip install` is given, options included.
        upgrade: install the newest that is allowed, even where something older is there already.
    """
    directory = ROOT / ".tools" / name
    directory.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".tools" / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once must not make it at once
        return _filled(directory, requirements, upgrade=upgrade)


def _filled(directory: Path, requirements: list[str], *, upgrade: bool) -> Path:
    python = directory / "bin" / "python"
    stamp = directory / "requirements.txt"
    # The scripts of an environment know its place, so a moved project needs new ones.
    wanted = "\n".join([f"# {directory}", *requirements, ""])
    ready = stamp.is_file() and stamp.read_text() == wanted and _works(python)
    if ready and not upgrade:
        return python
    if not ready:
        venv = [_base_python(), "-m", "venv", "--clear", str(directory)]
        _run(venv, f"cannot make .tools/{directory.name}")
    pip = [str(python), "-m", "pip", "--require-virtualenv", "--disable-pip-version-check", "-q"]
    newest = ["--upgrade", "--upgrade-strategy", "eager"] if upgrade else []
    install = ["install", "--only-binary", ":all:", *newest, *requirements]
    _run([*pip, *install], f"cannot install into .tools/{directory.name}")
    stamp.write_text(wanted)
    return python


def _base_python() -> str:
    names = [sys.executable, *(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1))]
    for name in names:
        path = shutil.which(name)
        if path and _works(Path(path)):
            return path
    raise ToolError(
        f"no Python from {_dotted(OLDEST)} to {_dotted(NEWEST)} was found; "
        f"the tools of the contract have no wheels for {_dotted(sys.version_info[:2])}"
    )


def _works(python: Path) -> bool:
    code = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    command = [str(python), "-c", code]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        told = next((line for line in said if line.startswith("ERROR:")), said[-1])
        raise ToolError(f"{failure}: {told}")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
