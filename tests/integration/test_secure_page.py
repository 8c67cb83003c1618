"""The page on security is run from top to bottom, as an operator would."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from support.operator_page import Page, free_ports

if TYPE_CHECKING:
    from pathlib import Path


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    """In order, in one directory; each server until the next one is started."""
    for tool in ("openssl", "curl"):
        assert shutil.which(tool), f"{tool} is needed"
    page = Page("secure.md", tmp_path, free_ports("50051", "50052", "8080"))
    assert len(page.blocks) == 12
    whole = "\n".join(page.run_all())
    assert whole.count('"object":"list"') == 2
    assert 'methods = ["Chat", "StreamChat"]' in whole
    for token in tmp_path.glob("*.token"):
        assert token.read_text().strip() not in (tmp_path / "tokens").read_text()
