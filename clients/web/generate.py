"""Make the page's generated files from the contract.

python clients/web/generate.py                 write them into the project
python clients/web/generate.py --output DIR    write them below another directory

What is made, in `clients/web/src/generated`, by Protobuf-ES:
- the messages and the service of `headgate/v1/chat.proto`,
- the google.rpc types that the gateway's errors carry.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from node_tools import node_tool
from stubs import CONTRACT, Plugin, main, stubs

if TYPE_CHECKING:
    from stubs import Files

TARGET = "clients/web/src/generated"
FILES = [CONTRACT, "google/rpc/error_details.proto"]
OPTIONS = "target=ts,import_extension=js"

# What writes the code, with everything that has a say in how it looks.
PLUGIN = {
    "@bufbuild/protoc-gen-es": "2.17.0",
    "@bufbuild/protoplugin": "2.17.0",
    "@bufbuild/protobuf": "2.17.0",
}


def generate() -> Files:
    """Every generated file: its path within the project, and its bytes."""
    program = node_tool("web", "protoc-gen-es", PLUGIN)
    made = stubs([Plugin("es", program, OPTIONS)], FILES, google=True)
    return {f"{TARGET}/{name}": data for name, data in made.items()}


if __name__ == "__main__":
    sys.exit(main("web", TARGET, generate))
