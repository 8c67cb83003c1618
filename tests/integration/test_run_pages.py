"""The pages on running and upgrading are run from top to bottom; the unit is what systemd takes."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from headgate.cli import _headgate
from headgate.config.names import SETTINGS
from headgate.config.renew import is_live
from support.operator_page import PAGES, ROOT, Page, free_ports

UNIT = ROOT / "deploy" / "systemd" / "headgate.service"
RUN = (PAGES / "run.md").read_text(encoding="utf-8")


async def test_every_command_of_the_page_on_running_runs(tmp_path: Path) -> None:
    """Serve, ask, reload, and a reload that is refused."""
    page = Page("run.md", tmp_path, free_ports("50051", "8080", "9464"))
    assert len(page.blocks) == 5
    said = await asyncio.to_thread(page.run_all)
    assert "rate = 2.0" in said[0]
    assert '"status":"ok"' in said[2]
    log = (tmp_path / "said").read_text()
    assert "reloaded" in log
    assert "reload_refused" in log
    assert "throttle.rate" in log
    assert 'rate = "fast"' not in (tmp_path / "headgate.toml").read_text()


async def test_every_command_of_the_page_on_upgrades_runs(tmp_path: Path) -> None:
    """The old one is stopped, and the new one goes on."""
    page = Page("upgrade.md", tmp_path, free_ports("50051", "50052"))
    assert len(page.blocks) == 4
    said = await asyncio.to_thread(page.run_all)
    assert "headgate sandbox" in said[2]
    assert "headgate sandbox" in said[3]


def test_the_page_names_every_live_setting() -> None:
    """And no other; a section of which all is live is named as `section.*`."""
    table = RUN[RUN.index("| changes live |") :].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_.*]+)`", table))
    live = {setting.name for setting in SETTINGS if is_live(setting.name)} - {"profile"}
    covered = {name for name in live if name in named or f"{name.partition('.')[0]}.*" in named}
    assert covered == live
    assert {name for name in named if not name.endswith(".*")} <= live


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Every line of it, with the program in the place where this one is."""
    program = Path(sys.executable).parent / "headgate"
    link = tmp_path / "headgate"
    link.symlink_to(program)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/headgate/bin/headgate", str(link)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _with_proc(options: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that sees /proc with these options of mount."""
    mounted = 'mount -t proc -o "$0" proc /proc && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, options, *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_unit_leaves_the_metrics_of_the_process() -> None:
    """Alerts read them; they come from /proc, of which a unit can hide too much."""
    if _with_proc("rw", "true").returncode:
        pytest.skip("this user may not mount /proc, as the unit does")
    kinds = {"ProtectProc": "hidepid", "ProcSubset": "subset"}
    found = re.findall(r"(?m)^(ProtectProc|ProcSubset)=(.+)$", UNIT.read_text(encoding="utf-8"))
    count = "from prometheus_client import PROCESS_COLLECTOR as p; print(len(p.collect()))"
    options = ",".join(f"{kinds[name]}={value}" for name, value in found)
    done = _with_proc(options, sys.executable, "-c", count)
    assert (done.stderr, done.stdout) == ("", "6\n")


def test_the_unit_starts_what_there_is() -> None:
    """The command and its flags are this program's."""
    lines = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line[:20])
    program, *arguments = shlex.split(lines["ExecStart"])
    assert program.endswith("/headgate")
    command, *flags = arguments
    known = CliRunner().invoke(_headgate, [command, "--help"]).output
    assert [flag for flag in flags if flag.startswith("--") and flag not in known] == []
    assert lines["Type"] == "notify"
    assert lines["ExecReload"].split()[1] == "-HUP"
