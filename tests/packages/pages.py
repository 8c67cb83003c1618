"""A README: its code blocks, and lines of a shell as a person pastes them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
BLOCK = re.compile(r"^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
SHELL = ("", "sh")
# What the sandbox answers to "Tell me a story", whole: names and places differ.
STORY = re.compile(r"(?:Once upon a time|Long ago|In a wet year), .+\n\n.+\n\n.+\n\n.+\.")
# What building leaves behind; a clean copy has none of it.
MADE = ("node_modules", "target", "build", "dist", "__pycache__", "*.lock", "package-lock.json")


class Block(NamedTuple):
    """A code block; `language` is empty where the page names none."""

    language: str
    text: str


class Page:
    """The code blocks of a README, each of which is to be taken once.

    Args:
        folder: where it lies, relative to the project's root.
    """

    def __init__(self, folder: str) -> None:
        self.text = (ROOT / folder / "README.md").read_text("utf-8")
        self._left = [Block(*match.groups()) for match in BLOCK.finditer(self.text)]

    def lines(self) -> str:
        """The next block of shell lines."""
        return self._take(*SHELL)

    def program(self, *languages: str) -> str:
        """The next block in one of these languages."""
        return self._take(*languages)

    def left(self) -> list[Block]:
        """The blocks that nobody took."""
        return self._left

    def _take(self, *languages: str) -> str:
        block = next((block for block in self._left if block.language in languages), None)
        assert block is not None, f"no block is left in {languages}; left are {self._left}"
        self._left.remove(block)
        return block.text


def shell(
    lines: str, folder: Path, environment: dict[str, str], *, stdin: str = "", status: int = 0
) -> str:
    """Run lines as they stand, the first that fails ends them; gives what they printed.

    Raises:
        AssertionError: another exit status than `status`; with all that was said.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = f"{lines}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == status, said
    return done.stdout


@contextmanager
def listening(line: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run a line that serves, until the block ends; gives the first line that it says.

    Raises:
        AssertionError: that does not tell an address, or it did not end well.
    """
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stderr is not None
        first = process.stderr.readline()
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        try:
            assert "127.0.0.1:" in first, f"{line}\n{first}"
            yield first
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            reader.join()
    assert process.returncode in {0, -signal.SIGTERM}, f"{line}\nended with {process.returncode}"


def fresh(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment with a Python of its own, made in this folder, in front."""
    shell(f"'{sys.executable}' -m venv .", folder, environment)
    return merged(environment, PATH=f"{folder}/bin{os.pathsep}{environment['PATH']}")


def packed(language: str, pattern: str) -> Path:
    """The one file that `make packages` made of this name."""
    found = sorted((DIST / language).glob(pattern))
    assert len(found) == 1, f"dist/{language} has {found}; run `make packages`"
    return found[0]


def clean_copy(client: str, folder: Path) -> Path:
    """The checkout as far as this client needs it, without anything that was built."""
    ignore = shutil.ignore_patterns(*MADE)
    for name in ("protos", f"clients/{client}"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore, symlinks=True)
    shutil.copy(ROOT / "LICENSE", folder)
    return folder / "clients" / client


def merged(environment: dict[str, str], **further: str | os.PathLike[str]) -> dict[str, str]:
    """The environment with more in it."""
    return environment | {name: os.fspath(value) for name, value in further.items()}
