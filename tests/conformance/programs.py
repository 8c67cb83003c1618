"""The languages' programs: how they are built and run (`languages.toml`), and a running one."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import BufferedWriter

LANGUAGES = Path(__file__).with_name("languages.toml")
ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "conformance"
# The longest line is a stream of 10,000 messages.
LINE_LIMIT = 2**27
ANSWER_SECONDS = 90
END_SECONDS = 20


class ProgramError(Exception):
    """A program could not be built or run, or did not keep to the protocol."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """One column of the table.

    Attributes:
        needs: executables that must be on the PATH.
        build: commands that are run once, in `cwd`.
        run: the command of the program; options and the gateway's address are appended.
        cwd: relative to the project's root.
        cannot_fill: keys of what was seen that the client cannot tell, and why.
        unsupported: cases that the client cannot run, and why.
    """

    name: str
    run: list[str]
    needs: list[str] = field(default_factory=list)
    build: list[list[str]] = field(default_factory=list)
    cwd: str = "."
    cannot_fill: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return ROOT / self.cwd

    @property
    def complaints(self) -> Path:
        """Where its program's standard error goes."""
        return BUILD / f"{''.join(c if c.isalnum() else '-' for c in self.name)}.log"

    def missing(self) -> list[str]:
        """The executables that are not there."""
        return [name for name in self.needs if shutil.which(name) is None]

    async def make(self) -> None:
        """Run the build commands, one after the other.

        Raises:
            ProgramError: an executable is missing, or a command failed; with its last lines.
        """
        if missing := self.missing():
            raise ProgramError(f"{self.name} needs {', '.join(missing)}, which is not on the PATH")
        if not self.folder.is_dir():
            raise ProgramError(f"{self.name}: there is no folder {self.cwd}")
        BUILD.mkdir(parents=True, exist_ok=True)
        self.complaints.unlink(missing_ok=True)
        for command in self.build:
            process = await asyncio.create_subprocess_exec(
                *_filled(command),
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
            if process.returncode != 0:
                lines = said.decode(errors="replace").strip().splitlines()[-15:]
                told = "\n".join(["", *(f"    {line}" for line in lines)])
                raise ProgramError(f"{self.name}: `{' '.join(command)}` failed{told}")


def languages(path: Path = LANGUAGES) -> list[Language]:
    """The table of languages, in its order."""
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["language"]
    return [Language(**entry) for entry in entries]


class Program:
    """A conformance program that is connected to one gateway; an asynchronous context manager.

    Args:
        language: whose.
        address: of the gateway.
        options: what stands before the address, such as `--token`.
    """

    def __init__(self, language: Language, address: str, options: Iterable[str] = ()) -> None:
        self._language = language
        self._arguments = (*options, address)
        self._process: asyncio.subprocess.Process | None = None
        self._complaints: BufferedWriter | None = None

    async def __aenter__(self) -> Self:
        BUILD.mkdir(parents=True, exist_ok=True)
        self._complaints = self._language.complaints.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *_filled(self._language.run),
            *self._arguments,
            cwd=self._language.folder,
            env=clean_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._complaints,
            limit=LINE_LIMIT,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.close()
            async with asyncio.timeout(END_SECONDS):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ProgramError("it did not end when its input did") from None
        finally:
            if self._complaints is not None:
                self._complaints.close()
        if status != 0 and exc[0] is None:
            raise ProgramError(f"it ended with status {status}; see {BUILD.relative_to(ROOT)}")

    async def make(self, line: dict[str, Any]) -> list[dict[str, Any]]:
        """Give it a call; returns what it saw, one object for each call.

        Raises:
            ProgramError: it ended, was silent, or answered something else.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(line).encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await process.stdout.readline()
        except TimeoutError:
            raise ProgramError(f"it said nothing for {ANSWER_SECONDS} s") from None
        except (ConnectionError, ValueError) as error:
            raise ProgramError(f"it cannot be talked to: {error}") from error
        return _calls(answer, line["name"], line.get("count", 1))


def _calls(answer: bytes, name: str, count: int) -> list[dict[str, Any]]:
    if not answer:
        raise ProgramError(f"it ended without an answer; see {BUILD.relative_to(ROOT)}")
    try:
        seen = json.loads(answer)
        calls: list[dict[str, Any]] = seen["calls"]
        told = (seen["name"], len(calls))
    except (ValueError, KeyError, TypeError):
        raise ProgramError(f"it answered {answer[:200]!r}, which is no result") from None
    if told != (name, count):
        raise ProgramError(f"it answered for {told[0]} with {told[1]} calls, not {name}, {count}")
    return calls


def _filled(command: list[str]) -> list[str]:
    return [part.replace("{python}", sys.executable) for part in command]


class Seat:
    """Where a language's program sits in front of a gateway; an asynchronous context manager.

    A program that is given other options than it has is ended, and another one is started.

    Args:
        language: whose.
        address: of the gateway.
        fill: puts in what an option names, such as `{file:ca}`.
    """

    def __init__(self, language: Language, address: str, fill: Callable[[str], str]) -> None:
        self._language = language
        self._address = address
        self._fill = fill
        self._options: list[str] = []
        self._program: Program | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        program, self._program = self._program, None
        if program is not None:
            await program.__aexit__(*exc)

    async def program(self, options: list[str]) -> Program:
        """The one with these options.

        Raises:
            ProgramError: the one before it did not end as it should.
        """
        if self._program is None or self._options != options:
            await self.__aexit__(None, None, None)
            self._options = options
            program = Program(self._language, self._address, map(self._fill, options))
            self._program = await program.__aenter__()
        return self._program
