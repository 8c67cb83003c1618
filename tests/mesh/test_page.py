"""deploy/docs/envoy.md: its commands run, and what it names is there."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from headgate.config.names import is_setting
from support.envoy import SHIPPED, TOOLS, program
from support.operator_page import PAGES, Page, free_ports

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (PAGES / "envoy.md").read_text(encoding="utf-8")
FILES = {file.name: file.read_text(encoding="utf-8") for file in SHIPPED.iterdir()}
SECTIONS = {"auth", "callers", "retry", "server", "throttle", "tls", "upstream"}
# What the page tells not to set, or what is Envoy's own default.
NOT_SET = {"close_connections_on_host_health_failure"}


@pytest.mark.timeout(120)
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one directory with the files of deploy/envoy."""
    program()
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{TOOLS / 'bin'}")
    ports = free_ports("50051", "8443", "9901")
    for name, text in FILES.items():
        places = re.compile(rf"(?<=port_value: )({'|'.join(ports)})\b")
        (tmp_path / name).write_text(places.sub(lambda found: ports[found[0]], text), "utf-8")
    page = Page("envoy.md", tmp_path, ports)
    assert len(page.blocks) == 5
    try:
        checked, _, ready, answers, _ = page.run_all()
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((tmp_path / "envoy.pid").read_text()), signal.SIGKILL)
    assert "OK" in checked
    assert ready.strip() == "LIVE"
    whole, *events = answers.split("data: ")
    assert "FINISH_REASON_LENGTH" in whole
    assert "started" in events[0]
    assert "finished" in events[-1]


def test_settings_that_are_named_exist() -> None:
    """In the page and in the files, of headgate's own."""
    for text in (TEXT, *FILES.values()):
        for word in re.findall(r"(?<![\w./-])(?:\w+\.)\w+(?![\w./-])", text):
            section, _, _ = word.partition(".")
            if section in SECTIONS:
                assert is_setting(tuple(word.split("."))), word


def test_what_the_page_says_is_set_is_set() -> None:
    """Each of Envoy's fields that stands in the first two columns of the table."""
    everything = "\n".join(FILES.values())
    table = TEXT.partition("## What is set")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| ")]
    words = {word for row in rows for cell in row for word in re.findall(r"`([^`]+)`", cell)}
    words = {word for word in words if not is_setting(tuple(word.split(".")))}
    assert len(words) > 15
    for word in words:
        for part in re.findall(r"[\w-]+", word):
            assert part in everything, word
    for name in NOT_SET:
        assert name in TEXT
        assert name not in everything


def test_links_lead_somewhere() -> None:
    """To files that are there, and to titles in them."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, title = target.partition("#")
        file = (PAGES / path).resolve() if path else PAGES / "envoy.md"
        assert file.exists(), target
        if title:
            titles = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert title in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
