"""The installed Python client's public API, as a user's mypy --strict and pyright see it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from packages.pages import ROOT, merged, shell

USER = Path(__file__).with_name("typed_user.txt")
PYRIGHT = ROOT / ".tools" / "pyright" / "node_modules" / ".bin" / "pyright"
# Generated, with the server's half, whose context takes its type arguments from types-grpcio.
GENERATED = "headgate_client.v1.chat_pb2_grpc."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user's program lies that has right lines, and wrong ones that say so."""
    shutil.copy(USER, tmp_path / "user.py")
    return tmp_path


@pytest.fixture
def checkers(client_alone: dict[str, str]) -> dict[str, str]:
    """The client's own environment first, then the checkers."""
    path = [client_alone["PATH"], PYRIGHT.parent, Path(sys.executable).parent]
    return merged(client_alone, PATH=os.pathsep.join(map(str, path)))


def test_mypy_lets_no_mistake_through(folder: Path, checkers: dict[str, str]) -> None:
    """In strict mode it finds every wrong line, and nothing in the right ones."""
    command = 'mypy --strict --python-executable "$(command -v python)" user.py'
    said = shell(command, folder, checkers, status=1)
    assert {int(line) for line in re.findall(r"(?m)^user\.py:(\d+): error", said)} == mistakes()


def test_pyright_lets_no_mistake_through(folder: Path, checkers: dict[str, str]) -> None:
    """The same, by the other checker."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": ["user.py"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    said = json.loads(shell("pyright --outputjson", folder, checkers, status=1))
    found = {fault["range"]["start"]["line"] + 1 for fault in said["generalDiagnostics"]}
    assert found == mistakes(), said["generalDiagnostics"]


def test_every_public_name_has_a_type(tmp_path: Path, checkers: dict[str, str]) -> None:
    """A type that is written down, not one that each checker guesses for itself."""
    command = "pyright --verifytypes headgate_client --ignoreexternal --outputjson || true"
    completeness = json.loads(shell(command, tmp_path, checkers))["typeCompleteness"]
    own = [symbol for symbol in completeness["symbols"] if not_generated(symbol["name"])]
    assert {"headgate_client.Client", "headgate_client.stream.Stream.text"} <= {
        symbol["name"] for symbol in own
    }
    bare = {
        symbol["name"]: [fault["message"] for fault in symbol["diagnostics"]]
        for symbol in own
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert bare == {}


def mistakes() -> set[int]:
    lines = USER.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}


def not_generated(name: str) -> bool:
    return not name.startswith(GENERATED)
