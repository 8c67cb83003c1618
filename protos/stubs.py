"""What the generate.py of each client has in common: the pinned compiler, and where its files go.

Only the standard library is used: this runs before anything is installed.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from environments import ROOT, ToolError, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROTOS = ROOT / "protos"
CONTRACT = "headgate/v1/chat.proto"
_GOOGLE = "googleapis-common-protos==1.76.0"  # where google/rpc/*.proto come from

Files = dict[str, bytes]


class Plugin(NamedTuple):
    """One of protoc's: its name in the flags, its program, and its options."""

    name: str
    program: Path
    options: str


def main(language: str, replaced: str, generate: Callable[[], Files]) -> int:
    """The command of a client's generate.py; its exit status.

    Args:
        language: the client's folder.
        replaced: the folder that holds nothing but generated files, within the project.
        generate: every file: its path within the project, and its bytes.
    """
    parser = argparse.ArgumentParser(description=f"Make the generated files of clients/{language}.")
    parser.add_argument("--output", type=Path, default=ROOT, help="the directory to write below")
    output = parser.parse_args().output
    try:
        made = generate()
    except ToolError as error:
        sys.stderr.write(f"clients/{language}/generate.py: {error}\n")
        return 1
    shutil.rmtree(output / replaced, ignore_errors=True)
    for name, data in made.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return 0


def compiler() -> Path:
    """The Python that has the pinned `grpc_tools.protoc`.

    Raises:
        ToolError: it cannot be had.
    """
    pins = (PROTOS / "tools.txt").read_text().splitlines()
    return environment("proto", [pin for pin in pins if not pin.startswith("#")])


def stubs(plugins: Sequence[Plugin], files: Sequence[str], *, google: bool = False) -> Files:
    """What the plugins make of these files: paths as the plugins name them, and bytes.

    Args:
        files: of `protos`, and of google's with `google`.

    Raises:
        ToolError: the compiler cannot be had, or refuses.
    """
    with tempfile.TemporaryDirectory() as directory:
        command = [str(compiler()), "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
        if google:
            command.append(f"-I{_googleapis()}")
        for name, program, options in plugins:
            command += [f"--plugin=protoc-gen-{name}={program}"]
            command += [f"--{name}_out={directory}", f"--{name}_opt={options}"]
        run([*command, *files], "protoc refuses the contract")
        made = [path for path in Path(directory).rglob("*") if path.is_file()]
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in made}


def run(command: list[str], failure: str, environ: Mapping[str, str] = os.environ) -> None:
    """Run it, quietly.

    Raises:
        ToolError: it ended with another status than 0; begins with `failure`.
    """
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(f"{failure}: {said or f'exit status {done.returncode}'}")


def _googleapis() -> Path:
    python = environment("googleapis", [_GOOGLE])
    return next(python.parents[1].glob("lib/python*/site-packages"))
