"""Make the page's generated files from the contract.

python clients/web/generate.py                 write them into the project
python clients/web/generate.py --output DIR    write them below another directory

What is made, in `clients/web/src/generated`, by Protobuf-ES:
- the messages and the service of `headgate/v1/chat.proto`,
- the google.rpc types that the gateway's errors carry.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from environments import ROOT, ToolError, environment
from node_tools import node_tool

PROTOS = ROOT / "protos"
TARGET = "clients/web/src/generated"
GOOGLE = "googleapis-common-protos==1.76.0"  # where google/rpc/*.proto come from
FILES = ["headgate/v1/chat.proto", "google/rpc/error_details.proto"]

# What writes the code, with everything that has a say in how it looks.
PLUGIN = {
    "@bufbuild/protoc-gen-es": "2.17.0",
    "@bufbuild/protoplugin": "2.17.0",
    "@bufbuild/protobuf": "2.17.0",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the page's generated files.")
    parser.add_argument("--output", type=Path, default=ROOT, help="the directory to write below")
    target = parser.parse_args().output / TARGET
    try:
        made = generate()
    except ToolError as error:
        sys.stderr.write(f"clients/web/generate.py: {error}\n")
        return 1
    shutil.rmtree(target, ignore_errors=True)
    for name, data in made.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return 0


def generate() -> dict[str, bytes]:
    """Every generated file: its path below TARGET, and its bytes."""
    pins = (PROTOS / "tools.txt").read_text().splitlines()
    protoc = environment("proto", [pin for pin in pins if not pin.startswith("#")])
    google = next(environment("googleapis", [GOOGLE]).parents[1].glob("lib/python*/site-packages"))
    plugin = node_tool("web", "protoc-gen-es", PLUGIN)
    with tempfile.TemporaryDirectory() as directory:
        command = [
            *(str(protoc), "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{google}"),
            *(f"--plugin=protoc-gen-es={plugin}", f"--es_out={directory}"),
            *("--es_opt=target=ts,import_extension=js", *FILES),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise ToolError(f"protoc refuses the contract: {done.stderr.strip()}")
        made = [path for path in Path(directory).rglob("*") if path.is_file()]
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in made}


if __name__ == "__main__":
    sys.exit(main())
