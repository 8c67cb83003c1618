"""Make the Go client's generated files from the contract.

python clients/go/generate.py                 write them into the project
python clients/go/generate.py --output DIR    write them below another directory

What is made, in `clients/go`:
- `headgatev1`, the messages and the stub of `headgate/v1/chat.proto`,
- copies of the service config and of the channel's defaults, which `headgate` embeds:
  go:embed reaches no file outside of its module.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from environments import ROOT, ToolError
from stubs import CONTRACT, PROTOS, Plugin, main, run, stubs

if TYPE_CHECKING:
    from stubs import Files

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


def generate() -> Files:
    """Every generated file: its path within the project, and its bytes."""
    programs, options = _plugins(), "module=headgate.dev/go"
    plugins = [Plugin(name, programs / f"protoc-gen-{name}", options) for name in ("go", "go-grpc")]
    made = stubs(plugins, [CONTRACT]) | {f"{STUBS}/doc.go": DOC}
    settings = {f"{TARGET}/headgate/{name}": (PROTOS / name).read_bytes() for name in SETTINGS}
    return {f"{TARGET}/{name}": data for name, data in made.items()} | settings


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
            run([go, "install", plugin], f"go cannot install {plugin}", where)
        stamp.write_text(wanted)
    return binaries


if __name__ == "__main__":
    sys.exit(main("go", f"{TARGET}/{STUBS}", generate))
