"""`make buf` holds the contract to the committed baseline: what breaks callers does not pass."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from packages.pages import ROOT, shell

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "  optional int64 seed = 7;"
BREAKING = {
    "another number": (FIELD, "  optional int64 seed = 107;", '"7"'),
    "another type": ("optional int32 max_tokens = 5;", "optional string max_tokens = 5;", "type"),
    "another name": (
        FIELD,
        "  optional int64 random_seed = 7;",
        'name from "seed" to "random_seed"',
    ),
    "another enum value": ("_DRAINING = 16;", "_DRAINED = 16;", "ERROR_REASON_DRAINING"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The contract with its rules, apart from the project."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    (tmp_path / ".tools").symlink_to(ROOT / ".tools")
    return tmp_path


def test_the_contract_as_it_is_passes(project: Path, plain: dict[str, str]) -> None:
    """What fails below fails by its change, and by nothing else."""
    shell("make buf", project, plain)


def test_a_new_field_passes(project: Path, plain: dict[str, str]) -> None:
    """The contract may grow."""
    change(
        project, FIELD, f"{FIELD}\n\n  // A field that callers need not know.\n  string hue = 99;"
    )
    shell("make buf", project, plain)


@pytest.mark.parametrize("kind", BREAKING)
def test_what_breaks_callers_does_not_pass(kind: str, project: Path, plain: dict[str, str]) -> None:
    """On the wire, or in the programs that use the stubs."""
    old, new, complaint = BREAKING[kind]
    change(project, old, new)
    said = shell("make buf 2>&1", project, plain, status=2)
    assert complaint in said


def change(project: Path, old: str, new: str) -> None:
    file = project / "protos" / "headgate" / "v1" / "chat.proto"
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")
