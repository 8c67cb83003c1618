"""headgate-chat, the chat in a terminal: the extra `terminal` of this distribution."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run headgate-chat; returns the exit status."""
    if missing := [name for name in ("prompt_toolkit", "rich") if find_spec(name) is None]:
        sys.stderr.write(
            f"headgate-chat needs {' and '.join(missing)}: "
            "pip install 'headgate-client[terminal]'\n"
        )
        return 2
    from headgate_client.terminal.app import run  # noqa: PLC0415 - only now is it known to work

    return run(arguments)
