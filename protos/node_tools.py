"""Tools that come from npm, pinned, below `.tools`.

Only the standard library is used: this runs before anything is installed.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from environments import ROOT, ToolError

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = ["--silent", "--no-fund", "--no-audit", "--no-save", "--no-package-lock"]


def node_tool(name: str, command: str, packages: dict[str, str]) -> Path:
    """A command of the packages in `.tools/NAME`, installed where they are not there yet.

    Args:
        packages: their names and exact versions.

    Raises:
        ToolError: npm is missing, or cannot install them.
    """
    directory = ROOT / ".tools" / name
    program = directory / "node_modules" / ".bin" / command
    manifest = directory / "package.json"
    wanted = json.dumps({"private": True, "dependencies": packages}, indent=2) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".tools" / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once must not install at once
        if program.exists() and manifest.is_file() and manifest.read_text() == wanted:
            return program
        manifest.unlink(missing_ok=True)
        shutil.rmtree(directory / "node_modules", ignore_errors=True)
        _install(directory, packages)
        manifest.write_text(wanted)
    return program


def _install(directory: Path, packages: dict[str, str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolError("the code generator comes from npm, which is missing; install Node.js")
    pins = [f"{name}@{version}" for name, version in packages.items()]
    command = [npm, "install", *FLAGS, "--prefix", str(directory), *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        why = said or f"exit status {done.returncode}"
        raise ToolError(f"npm cannot install the code generator: {why}")
