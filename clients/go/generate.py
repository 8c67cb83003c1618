"""Make the Go client's generated files from the contract.

python clients/go/generate.py                 write them into the project
python clients/go/generate.py --output DIR    write them below another directory

What is made, in `clients/go`:
- `headgatev1`, the messages and the stub of `headgate/v1/chat.proto`,
- copies of the service config and of the channel's defaults, which `headgate` embeds:
  go:embed reaches no file outside of its module.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from environments import ROOT, ToolError, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOS = ROOT / "protos"
TOOLS = ROOT / ".tools" / "go"
TARGET = "clients/go"
STUBS = "headgatev1"
SETTINGS = ("service_config.json", "channel_defaults.json")
DOC = b"""// Package headgatev1 is the contract of headgate: messages, stub and constants.
//
// Package headgate.dev/go/headgate opens a channel for it, and reads its errors.
package headgatev1
"""
PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the Go client's generated files.")
    parser.add_argument("--output", type=Path, default=ROOT, help="the directory to write below")
    output = parser.parse_args().output
    try:
        made = generate()
    except ToolError as error:
        sys.stderr.write(f"clients/go/generate.py: {error}\n")
        return 1
    shutil.rmtree(output / TARGET / STUBS, ignore_errors=True)
    for name, data in made.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return 0


def generate() -> dict[str, bytes]:
    """Every generated file: its path within the project, and its bytes."""
    stubs = {f"{TARGET}/{name}": data for name, data in _stubs().items()}
    settings = {f"{TARGET}/headgate/{name}": (PROTOS / name).read_bytes() for name in SETTINGS}
    return stubs | settings


def _stubs() -> dict[str, bytes]:
    """Run the pinned compiler with the pinned plugins; the paths are within the module."""
    pins = (PROTOS / "tools.txt").read_text().splitlines()
    python = environment("proto", [pin for pin in pins if not pin.startswith("#")])
    plugins = _plugins()
    with tempfile.TemporaryDirectory() as directory:
        command = [str(python), "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
        for name in ("go", "go-grpc"):
            command += [
                f"--plugin=protoc-gen-{name}={plugins / f'protoc-gen-{name}'}",
                f"--{name}_out={directory}",
                f"--{name}_opt=module=headgate.dev/go",
            ]
        _run([*command, "headgate/v1/chat.proto"], os.environ, "protoc refuses the contract")
        paths = [path for path in Path(directory).rglob("*") if path.is_file()]
        made = {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}
    return made | {f"{STUBS}/doc.go": DOC}


def _plugins() -> Path:
    """The directory with the code generators, installed where they are not there yet."""
    binaries, stamp = TOOLS / "bin", TOOLS / "plugins.txt"
    wanted = "".join(f"{plugin}\n" for plugin in PLUGINS)
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".tools" / "go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once must not install at once
        if stamp.is_file() and stamp.read_text() == wanted and binaries.is_dir():
            return binaries
        go = shutil.which("go")
        if go is None:
            raise ToolError("the code generators are made by go, which is missing; install Go")
        shutil.rmtree(binaries, ignore_errors=True)
        for plugin in PLUGINS:
            where = os.environ | {"GOBIN": str(binaries)}
            _run([go, "install", plugin], where, f"go cannot install {plugin}")
        stamp.write_text(wanted)
    return binaries


def _run(command: list[str], environ: Mapping[str, str], failure: str) -> None:
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(f"{failure}: {said or f'exit status {done.returncode}'}")


if __name__ == "__main__":
    sys.exit(main())
