"""The conformance kit's command: `python tests/conformance/kit.py --help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # gRPC would watch every fork, and say so; this process starts programs and never forks itself.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent))  # for `support`
    from command import main

    sys.exit(main())
