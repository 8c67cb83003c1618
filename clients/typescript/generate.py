"""Make the TypeScript client's generated files from the contract.

python clients/typescript/generate.py                 write them into the project
python clients/typescript/generate.py --output DIR    write them below another directory

What is made, in `clients/typescript/src/generated`:
- the messages and the stub of `headgate/v1/chat.proto`, and the google types that they use,
- the google.rpc types that the gateway's errors carry,
- `defaults.ts`, with the service config and the channel's defaults of `protos`.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from node_tools import node_tool
from stubs import CONTRACT, PROTOS, Plugin, main, stubs

if TYPE_CHECKING:
    from stubs import Files

TARGET = "clients/typescript/src/generated"

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
    ([CONTRACT], ["outputServices=grpc-js"]),
    (WELL_KNOWN, ["comments=false", "outputServices=none"]),
    (
        ["google/rpc/status.proto", "google/rpc/error_details.proto"],
        ["comments=false", "outputServices=none", "outputPartialMethods=false"],
    ),
)


def generate() -> Files:
    """Every generated file: its path within the project, and its bytes."""
    program = node_tool("typescript", "protoc-gen-ts_proto", PLUGIN)
    made = {"defaults.ts": _defaults()}
    for files, options in PASSES:
        plugin = Plugin("ts_proto", program, ",".join([*COMMON, *options]))
        made |= stubs([plugin], files, google=True)
    return {f"{TARGET}/{name}": data for name, data in made.items()}


def _defaults() -> bytes:
    """The settings of every client's channel, as TypeScript."""
    lines = ["// Code generated from protos/ by clients/typescript/generate.py. DO NOT EDIT.", ""]
    for constant in ("channel_defaults", "service_config"):
        value = json.loads((PROTOS / f"{constant}.json").read_text())
        head, tail = constant.split("_")
        name = head + tail.capitalize()
        lines += [f"export const {name} = {json.dumps(value, indent=2)} as const;", ""]
    return "\n".join(lines).encode()


if __name__ == "__main__":
    sys.exit(main("typescript", TARGET, generate))
