"""Make the TypeScript client's generated files from the contract.

python clients/typescript/generate.py                 write them into the project
python clients/typescript/generate.py --output DIR    write them below another directory

What is made, in `clients/typescript/src/generated`:
- the messages and the stub of `headgate/v1/chat.proto`, and the google types that they use,
- the google.rpc types that the gateway's errors carry,
- `defaults.ts`, with the service config and the channel's defaults of `protos`.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from environments import ROOT, ToolError, environment
from node_tools import node_tool

PROTOS = ROOT / "protos"
TARGET = "clients/typescript/src/generated"
GOOGLE = "googleapis-common-protos==1.76.0"  # where google/rpc/*.proto come from

# What writes the code, with everything that has a say in how it looks.
PLUGIN = {
    "ts-proto": "2.18.0",
    "ts-proto-descriptors": "2.1.0",
    "ts-poet": "6.12.0",
    "dprint-node": "1.0.8",
    "case-anything": "2.1.13",
    "@bufbuild/protobuf": "2.17.0",
}

COMMON = (
    "emitImportedFiles=false",  # each pass writes only the files that it names
    "esModuleInterop=true",
    "forceLong=bigint",
    "importSuffix=.js",
    "oneof=unions-value",
    "outputJsonMethods=false",
    "removeEnumPrefix=true",
    "unrecognizedEnum=false",
    "useExactTypes=false",
    "useUnknownForValue=true",
)
WELL_KNOWN = [
    f"google/protobuf/{name}.proto" for name in ("any", "duration", "struct", "timestamp")
]
PASSES = (
    (["headgate/v1/chat.proto"], ["outputServices=grpc-js"]),
    (WELL_KNOWN, ["comments=false", "outputServices=none"]),
    (
        ["google/rpc/status.proto", "google/rpc/error_details.proto"],
        ["comments=false", "outputServices=none", "outputPartialMethods=false"],
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the TypeScript client's generated files.")
    parser.add_argument("--output", type=Path, default=ROOT, help="the directory to write below")
    target = parser.parse_args().output / TARGET
    try:
        made = generate()
    except ToolError as error:
        sys.stderr.write(f"clients/typescript/generate.py: {error}\n")
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
    plugin = node_tool("typescript", "protoc-gen-ts_proto", PLUGIN)
    with tempfile.TemporaryDirectory() as directory:
        for files, options in PASSES:
            command = [
                *(str(protoc), "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{google}"),
                *(f"--plugin=protoc-gen-ts_proto={plugin}", f"--ts_proto_out={directory}"),
                *(f"--ts_proto_opt={','.join([*COMMON, *options])}", *files),
            ]
            _run(command, "protoc refuses the contract")
        made = Path(directory)
        files_made = [path for path in made.rglob("*") if path.is_file()]
        stubs = {path.relative_to(made).as_posix(): path.read_bytes() for path in files_made}
    return stubs | {"defaults.ts": _defaults()}


def _defaults() -> bytes:
    """The settings of every client's channel, as TypeScript."""
    lines = ["// Code generated from protos/ by clients/typescript/generate.py. DO NOT EDIT.", ""]
    for constant in ("channel_defaults", "service_config"):
        value = json.loads((PROTOS / f"{constant}.json").read_text())
        head, tail = constant.split("_")
        name = head + tail.capitalize()
        lines += [f"export const {name} = {json.dumps(value, indent=2)} as const;", ""]
    return "\n".join(lines).encode()


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=os.environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(f"{failure}: {said or f'exit status {done.returncode}'}")


if __name__ == "__main__":
    sys.exit(main())
