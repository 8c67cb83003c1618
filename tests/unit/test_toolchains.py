"""Which clients `make test` leaves out, and that it says why; commands that only pretend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "clients" / "toolchains.py"
HERE = {
    "go": "go version go1.24.1 linux/amd64",
    "gofmt": "",
    "node": "v20.19.0",
    "npm": "10.8.2",
    "java": "openjdk 21 2023-09-19",
    "javac": "javac 21",
    "mvn": "\\033[1mApache Maven 3.8.7\\033[m",
    "cargo": "cargo 1.88.0 (873a06493 2025-05-10)",
    "rustfmt": "",
    "cargo-clippy": "",
    "cmake": "cmake version 3.25.1",
    "g++": "",
    "clang-format": "",
    "pkg-config": "",
    "protoc": "",
    "grpc_cpp_plugin": "",
    "true": "",
    "chromium": "",
}
ALL = ["test-go", "test-typescript", "test-java", "test-rust", "test-cpp", "test-web"]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with every command that is needed, none of which does anything."""
    for name, says in HERE.items():
        pretend(tmp_path / name, f"printf '{says}\\n'")
    return tmp_path


def pretend(command: Path, script: str) -> None:
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def run(commands: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_with_every_toolchain_nothing_is_left_out(commands: Path) -> None:
    """The oldest versions that will do are enough."""
    done = run(commands, "--usable")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ALL, "")


def test_without_a_command_its_client_is_left_out(commands: Path) -> None:
    """It is named, with what is missing and how to get it; that is no failure."""
    (commands / "go").unlink()
    (commands / "cargo").unlink()
    done = run(commands, "--usable")
    assert done.returncode == 0
    assert done.stdout.split() == ["test-typescript", "test-java", "test-cpp", "test-web"]
    go, rust = done.stderr.splitlines()
    assert go.startswith("clients: go is left out here: go 1.24 missing (")
    assert rust.startswith("clients: rust is left out here: cargo 1.88 missing (https://rustup.rs")


@pytest.mark.parametrize(
    ("command", "says", "lacking"),
    [
        ("go", "go version go1.19.8 linux/amd64", "go 1.24"),
        ("node", "v18.20.4", "node 20.19"),
        ("javac", "javac 1.8.0_402", "javac 11"),
        ("cargo", "cargo 1.9.0", "cargo 1.88"),
        ("cmake", "no version at all", "cmake 3.19"),
    ],
)
def test_an_old_command_is_as_good_as_none(
    command: str, says: str, lacking: str, commands: Path
) -> None:
    """A toolchain that cannot build the client must not fail its tests."""
    pretend(commands / command, f"echo '{says}'")
    done = run(commands, "--usable")
    left_out = done.stderr.splitlines()
    assert len(done.stdout.split()) == len(ALL) - len(left_out)
    assert left_out
    assert all(f"{lacking} missing" in line for line in left_out)


def test_without_a_library_its_client_is_left_out(commands: Path) -> None:
    """The C++ client's libraries have no command."""
    pretend(commands / "pkg-config", '[ "$2" = protobuf ]')
    done = run(commands, "--usable")
    assert done.stdout.split() == [name for name in ALL if name != "test-cpp"]
    assert "cpp is left out here: grpc++ >= 1.51, gtest missing" in done.stderr


def test_without_a_registry_its_client_is_left_out(commands: Path) -> None:
    """Where the dependencies cannot be fetched, the reason is what the fetching said."""
    pretend(
        commands / "go", '[ "$1" = version ] && echo go1.26.8 || { echo "no route" >&2; exit 1; }'
    )
    done = run(commands, "--usable")
    assert done.stdout.split() == ALL[1:]
    assert "go is left out here: `go mod download` failed: no route" in done.stderr


def test_what_is_asked_for_by_name_must_be_there(commands: Path) -> None:
    """So `make client-go`, and with it CI, fails where `make test` would not."""
    assert run(commands, "go", "rust").returncode == 0
    (commands / "gofmt").unlink()
    done = run(commands, "go", "rust")
    assert done.returncode == 1
    assert done.stderr.startswith("clients: go cannot be built here: gofmt missing (")
    assert run(commands, "cobol").returncode == 2
