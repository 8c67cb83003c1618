"""The seven code blocks of the published page work with nothing changed but the address."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.http_face import events_in, text_in
from support.processes import clean_environment, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = Path(__file__).parent / "published"
ADDRESS = "https://gpt-oss-2t-ai.hf.space/api"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sandbox"), "sandbox", "--listen=127.0.0.1:0") as address:
        yield f"http://{address}/api"


@pytest.fixture(scope="module")
def gateway(sandbox: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    listen = ("--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
    folder = tmp_path_factory.mktemp("gateway")
    with serving(folder, "serve", f"--upstream={sandbox}", *listen) as address:
        yield f"http://{address}/api"


@pytest.fixture(params=["sandbox", "gateway"])
def url(request: pytest.FixtureRequest) -> str:
    """The published path of the sandbox, and of a gateway in front of it."""
    url: str = request.getfixturevalue(request.param)
    return url


def snippet(name: str, url: str) -> str:
    text = (PUBLISHED / name).read_text()
    assert text.count(ADDRESS) == 1
    return text.replace(ADDRESS, url)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program that must end well."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here; where it is, this runs")
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def run_javascript(name: str, url: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """What a snippet printed, and the answers that its requests got."""
    # The page shows its only backslash doubled.
    code = snippet(name, url).replace("\\\\n", "\\n")
    program = folder / f"{name}.mjs"
    program.write_text(code)
    watch = (PUBLISHED / "watch_fetch.mjs").as_uri()
    done = run(folder, "node", f"--import={watch}", str(program))
    return done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


def content(answer: dict[str, Any]) -> str:
    """What an answer says, which must be a whole one."""
    assert answer["status"] == 200
    choice = json.loads(answer["body"])["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    text: str = choice["message"]["content"]
    assert text.strip()
    return text


@pytest.mark.parametrize("name", ["snippet1.js", "snippet4.js", "snippet6.js"])
def test_javascript_prints_the_answer(name: str, url: str, tmp_path: Path) -> None:
    """Quick start, step 1 and step 3's chat class print what the assistant said."""
    printed, [answer] = run_javascript(name, url, tmp_path)
    assert printed == content(answer) + "\n"


def test_python_prints_the_answer(url: str, tmp_path: Path) -> None:
    """The quick start with requests."""
    program = tmp_path / "snippet2.py"
    program.write_text(snippet("snippet2.py.txt", url))
    assert run(tmp_path, sys.executable, str(program)).stdout.strip()


def test_curl_prints_the_json(url: str, tmp_path: Path) -> None:
    """The quick start with curl."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here; where it is, this runs")
    program = tmp_path / "snippet3.sh"
    program.write_text(snippet("snippet3.sh", url))
    assert content({"status": 200, "body": run(tmp_path, "sh", str(program)).stdout})


def test_the_naive_streaming_reader_loses_nothing(url: str, tmp_path: Path) -> None:
    """Step 2 takes every read for whole lines, and still shows all that was sent."""
    printed, [answer] = run_javascript("snippet5.js", url, tmp_path)
    events = events_in(answer["body"])
    assert answer["status"] == 200
    assert events[-1] == ("message", "[DONE]")
    assert len(events) > 10
    assert printed == text_in(events)


def test_advanced_parameters_are_accepted(url: str, tmp_path: Path) -> None:
    """Step 4 sends all five parameters and prints nothing, so its answer is looked at."""
    printed, [answer] = run_javascript("snippet7.js", url, tmp_path)
    assert printed == ""
    assert content(answer)
