"""Make the environment with the oldest grpcio that the projects allow: `.tools/oldest`.

It is the one in which `make check-floors` probes the stubs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[2] / "protos"


def main() -> int:
    sys.path.insert(0, str(PROTOS))
    floors, environments = import_module("check_floors"), import_module("environments")
    oldest = [f"{name}=={version}" for name, version in floors.declared().items()]
    try:
        environments.environment("oldest", [*floors.INSTALL, *oldest])
    except environments.ToolError as error:
        sys.stderr.write(f"oldest.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
