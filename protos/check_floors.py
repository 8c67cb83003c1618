"""Prove that both projects work with the oldest and the newest versions that they allow.

    python protos/check_floors.py

Both are installed into one environment at the floors of their pyproject.toml, then into another
one at the newest. In each, calls go between both copies of the stubs (see probe_stubs.py), and
the gateway and the client are imported.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

from environments import ROOT, ToolError, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECTS = ("pyproject.toml", "clients/python/pyproject.toml")
INSTALL = ["-e", ".", "-e", "clients/python[terminal]"]
FLOOR = re.compile(r"([\w.-]+)>=([\d.]+)")
# What generated code demands of its runtime: it raises where that is older.
STUBS = ROOT / "server" / "headgate" / "v1"
DEMANDS = {
    "grpcio": (STUBS / "chat_pb2_grpc.py", re.compile(r"GRPC_GENERATED_VERSION = '([\d.]+)'")),
    "protobuf": (STUBS / "chat_pb2.py", re.compile(r"# Protobuf Python Version: ([\d.]+)")),
}


def main() -> int:
    try:
        floors = declared()
        for name in DEMANDS:
            check_demand(name, floors[name])
        oldest = [f"{name}=={version}" for name, version in floors.items()]
        probe(environment("oldest", [*INSTALL, *oldest]))
        probe(environment("latest", INSTALL, upgrade=True))
    except ToolError as error:
        sys.stderr.write(f"protos/check_floors.py: {error}\n")
        return 1
    return 0


def declared() -> dict[str, str]:
    """The floor of every dependency that has one; where both projects name it, they agree."""
    floors: dict[str, str] = {}
    for path in PROJECTS:
        for requirement in _requirements(ROOT / path):
            if match := FLOOR.match(requirement):
                name, version = match.groups()
                if floors.setdefault(name, version) != version:
                    raise ToolError(f"{name} has two floors: {floors[name]} and {version}")
    return floors


def _requirements(path: Path) -> Iterator[str]:
    project = tomllib.loads(path.read_text())["project"]
    yield from project["dependencies"]
    for extra in project.get("optional-dependencies", {}).values():
        yield from extra


def check_demand(name: str, floor: str) -> None:
    path, pattern = DEMANDS[name]
    match = pattern.search(path.read_text())
    if match is None:
        raise ToolError(f"{path.name} no longer says which {name} it needs")
    if _numbers(floor) < _numbers(match[1]):
        raise ToolError(f"the floor of {name} is {floor}, but {path.name} needs {match[1]}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def probe(python: Path) -> None:
    script = str(ROOT / "protos" / "probe_stubs.py")
    for arguments in (
        ["-W", "error", script, "headgate", "headgate_client"],
        ["-c", "import headgate.gateway, headgate.cli, headgate_client.terminal"],
    ):
        done = subprocess.run([python, *arguments], cwd=ROOT, check=False)  # noqa: S603
        if done.returncode != 0:
            raise ToolError(f"fails in .tools/{python.parent.parent.name}, see above")


if __name__ == "__main__":
    sys.exit(main())
