"""The page on watching is run from top to bottom, and tells of everything that there is to see."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from headgate.telemetry.telemetry import Telemetry
from support.alert_cases import CASES
from support.operator_page import PAGES, ROOT, Page, free_ports
from support.otlp import receiving

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (PAGES / "watch.md").read_text(encoding="utf-8")
FIELD = re.compile(r"`(\w+)`")


def has_promtool() -> bool:
    return shutil.which("promtool") is not None


async def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    """In order, in one directory; what it promises is there: counts, lines, spans."""
    for tool in ("curl", "grep"):
        assert shutil.which(tool), f"{tool} is needed"
    shutil.copy(ROOT / "deploy" / "prometheus" / "alerts.yaml", tmp_path)
    async with receiving() as receiver:
        collector = {"4318": receiver.url.rpartition(":")[2]}
        page = Page("watch.md", tmp_path, free_ports("50051", "8080", "9464") | collector)
        assert len(page.blocks) == 7
        if not has_promtool():
            page.blocks = [block for block in page.blocks if not block.startswith("promtool")]
        said = await asyncio.to_thread(page.run_all)

    counted, line = said[1], json.loads(said[-3])
    assert 'code="OK",face="grpc",method="StreamChat"' in counted
    assert '"phase": "serving"' in counted
    assert counted.endswith("ok\n")
    assert (line["request_id"], line["method"], line["code"]) == ("my-call-1", "Chat", "OK")
    assert {span.name for span in receiver.spans} == {
        "headgate.v1.ChatService/StreamChat",
        "chat",
        "stream",
    }


@pytest.mark.skipif(
    not has_promtool(), reason="promtool is not on the PATH; on Debian: apt-get install prometheus"
)
def test_promtool_reads_what_the_page_says(tmp_path: Path) -> None:
    """The configuration and the rules, together; the command is one of those above."""
    shutil.copy(ROOT / "deploy" / "prometheus" / "alerts.yaml", tmp_path)
    page = Page("watch.md", tmp_path, free_ports("9464"))
    page.run(next(block for block in page.blocks if "prometheus.yaml <<" in block))
    said = page.run(next(block for block in page.blocks if block.startswith("promtool")))
    assert f"{len(CASES)} rules found" in said


def test_every_metric_is_on_the_page() -> None:
    """And none that there is not; those of workers and of the house are named by hand here."""
    counted = {family.name for family in Telemetry().families()}
    workers = {"headgate_workers", "headgate_workers_wanted", "headgate_workers_silent"}
    dashboard = (ROOT / "deploy" / "grafana" / "headgate.json").read_text(encoding="utf-8")
    shown = {_family(name) for name in re.findall(r"\bheadgate_\w+", dashboard)}
    told = {_family(name) for name in re.findall(r"\bheadgate_\w+", TEXT)}
    ours = {name for name in counted if name.startswith("headgate_")} | workers
    assert ours <= told
    assert told == shown  # of which another test shows that it is what a scrape has


def _family(name: str) -> str:
    return re.sub(r"_(total|bucket|info)$", "", name)


def test_every_field_of_a_line_is_on_the_page() -> None:
    """What the access log's code can write, and no other."""
    section = TEXT.partition("| field | says |")[2].partition("\n\n")[0]
    cells = [row.split(" | ")[0] for row in section.splitlines()[2:]]
    told = {word for cell in cells for word in FIELD.findall(cell)}
    assert told == _fields()


def _fields() -> set[str]:
    source = (ROOT / "server" / "headgate" / "logs" / "calls.py").read_text(encoding="utf-8")
    inside = source.partition("def _facts(")[2].partition("def _caller(")[0]
    inside += source.partition("def tokens_of(")[2].partition("def _counted(")[0]
    written: set[Any] = set(re.findall(r'^\s+"(\w+)": ', inside, re.MULTILINE))
    return written | {"trace_id"}


def test_links_lead_somewhere() -> None:
    """Pages, and files that it names."""
    for name in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert (PAGES / name).exists(), name
    for path in re.findall(r"`((?:deploy|server)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path
