"""The page on sizes is run from top to bottom, its measurement at a tenth of the length."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.operator_page import PAGES, ROOT, Page, free_ports

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (PAGES / "size.md").read_text(encoding="utf-8")
MEASURED = ROOT / "build" / "bench.json"


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    """In order; the settings of the page are what the gateway then has."""
    page = Page("size.md", tmp_path, free_ports("50051", "9464"))
    measure, *page.blocks = page.blocks
    assert "make bench" in measure
    assert len(page.blocks) == 4
    checked, limit, _, looked = page.run_all()
    assert "max_queue = 120" in checked
    assert "headgate_queue_limit 120.0" in looked
    assert "process_open_fds" in looked
    assert limit.strip() == "unlimited" or int(limit) > 0


@pytest.mark.timeout(240)
def test_what_is_measured_is_what_the_page_tells() -> None:
    """The command gives a figure for every row of the page's table, and for no other."""
    (measure,) = (line for line in TEXT.splitlines() if "make bench" in line)
    quick = measure.replace('ARGS="', 'ARGS="--quick ')
    script = ["bash", "-euo", "pipefail", "-c", quick]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]
    rows = {row["what"]: row["reached"] for row in written}
    assert rows == _rows(done.stdout)
    assert [_plain(what) for what in rows] == [_plain(what) for what in _rows(TEXT)]
    for what, figure in rows.items():
        numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", figure)]
        assert numbers, what
        assert max(numbers) > 0, what


def _rows(text: str) -> dict[str, str]:
    """Of the first table: what is measured, and what came out."""
    table = text.partition("|---|---|---|---|\n")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()]
    return {row[1]: row[3] for row in cells}


def _plain(what: str) -> str:
    """Without how many there were, which is less in a short run."""
    return re.sub(r"[\d,]*\d", "N", what)
