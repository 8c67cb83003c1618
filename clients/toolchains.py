"""Which toolchains the clients need, and which of them are here.

    python clients/toolchains.py NAME...    exit status 1, and a line for each that is missing
    python clients/toolchains.py --usable   print `test-NAME` for each that can be tested here,
                                            and say of the others why they are left out; status 0

Only the standard library is used: this runs before anything is installed.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent
# Not the digits of a terminal's colours, with which Maven writes its name.
VERSION = re.compile(r"(?<![\[\d.])\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What one client is built with.

    Attributes:
        commands: must be on the PATH; a version behind the name is the oldest that will do.
        libraries: pkg-config must know them, in its own spelling.
        fetch: run in the client's folder; fails where what it depends on cannot be had.
        install: how a person gets all of it, Debian's packages first.
    """

    commands: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    fetch: tuple[str, ...] = ()
    install: str

    def missing(self) -> list[str]:
        """The commands and libraries that are not there, or are too old."""
        lacking = [name for name in self.commands if not _is_command(*name.split())]
        if shutil.which("pkg-config"):
            lacking += [name for name in self.libraries if not _is_library(name)]
        return lacking

    def unfetched(self, folder: Path) -> str:
        """Why what it depends on cannot be had, or nothing."""
        done = _run(self.fetch, folder)
        if done.returncode == 0:
            return ""
        said = (done.stderr or done.stdout).strip().splitlines()
        return f"`{' '.join(self.fetch)}` failed: {said[-1] if said else done.returncode}"


TOOLCHAINS = {
    "go": Toolchain(
        commands=("go 1.24", "gofmt"),
        fetch=("go", "mod", "download"),
        install="Debian 13: golang; elsewhere https://go.dev/dl",
    ),
    "typescript": Toolchain(
        commands=("node 20.19", "npm"),
        fetch=("npm", "install", "--silent", "--no-fund", "--no-audit", "--no-package-lock"),
        install="Debian 13: nodejs npm; elsewhere https://nodejs.org",
    ),
    "java": Toolchain(
        commands=("java 11", "javac 11", "mvn 3.8"),
        fetch=("mvn", "-q", "-B", "dependency:resolve", "dependency:resolve-plugins"),
        install="Debian: default-jdk-headless maven",
    ),
    "rust": Toolchain(
        commands=("cargo 1.88", "rustfmt", "cargo-clippy"),
        fetch=("cargo", "fetch", "--quiet"),
        install="https://rustup.rs, with rustfmt and clippy",
    ),
    "cpp": Toolchain(
        commands=("cmake 3.19", "g++", "clang-format", "pkg-config", "protoc", "grpc_cpp_plugin"),
        libraries=("grpc++ >= 1.51", "protobuf", "gtest"),
        fetch=("true",),
        install="Debian: cmake make g++ clang-format pkg-config libgrpc++-dev libprotobuf-dev "
        "protobuf-compiler protobuf-compiler-grpc libgtest-dev",
    ),
    "web": Toolchain(
        commands=("node 20.19", "npm", "chromium"),
        fetch=("npm", "install", "--silent", "--no-fund", "--no-audit", "--no-package-lock"),
        install="Debian 13: nodejs npm chromium",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Say which of the clients' toolchains are here.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("names", nargs="*", metavar="NAME", default=[], help=", ".join(TOOLCHAINS))
    group.add_argument("--usable", action="store_true", help="name those that can be tested here")
    options = parser.parse_args()
    if unknown := set(options.names) - TOOLCHAINS.keys():
        parser.error(f"no client is called {min(unknown)!r}; known: {', '.join(TOOLCHAINS)}")
    if options.usable:
        return _name_the_usable()
    faults = {name: _missing(name) for name in options.names}
    for name, fault in faults.items():
        if fault:
            sys.stderr.write(f"clients: {name} cannot be built here: {fault}\n")
    return int(any(faults.values()))


def _name_the_usable() -> int:
    for name, toolchain in TOOLCHAINS.items():
        if fault := _missing(name) or toolchain.unfetched(CLIENTS / name):
            sys.stderr.write(f"clients: {name} is left out here: {fault}\n")
        else:
            sys.stdout.write(f"test-{name}\n")
    return 0


def _missing(name: str) -> str:
    toolchain = TOOLCHAINS[name]
    lacking = toolchain.missing()
    return f"{', '.join(lacking)} missing ({toolchain.install})" if lacking else ""


def _is_command(name: str, oldest: str = "") -> bool:
    if shutil.which(name) is None:
        return False
    if not oldest:
        return True
    flag = "version" if name == "go" else "--version"
    version = VERSION.search(_run((name, flag), CLIENTS).stdout)
    return version is not None and _numbers(version[0]) >= _numbers(oldest)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _is_library(name: str) -> bool:
    return _run(("pkg-config", "--exists", name), CLIENTS).returncode == 0


def _run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
