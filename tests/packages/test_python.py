"""Both Python distributions, installed as users do, and the lines of the client's README."""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from packages.pages import ROOT, STORY, Page, packed, shell
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

ALONE = """
import importlib.util, pickle, headgate_client

assert importlib.util.find_spec("headgate") is None
message = headgate_client.ChatMessage(content="Hello")
assert pickle.loads(pickle.dumps(message)) == message
"""


@pytest.mark.usefixtures("sandbox")
def test_the_readme(client_alone: dict[str, str], tmp_path: Path) -> None:
    """Every line and every program of it, in an environment that has only the client."""
    page = Page("clients/python")
    assert page.lines() == "pip install headgate-client\n"  # `client_alone` did that
    python(ALONE, tmp_path, client_alone)
    assert STORY.fullmatch(python(page.program("python"), tmp_path, client_alone))
    assert "a headgate is" in python(page.program("python"), tmp_path, client_alone).lower()

    authority = Authority()
    own = authority.sign("search")
    for name, data in (("ca.crt", authority.pem), ("token", b"river")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "search.crt").write_bytes(own.certificate)
    (tmp_path / "search.key").write_bytes(own.key)
    python(page.program("python"), tmp_path, client_alone)

    shell("headgate-chat --help", tmp_path, client_alone, status=2)  # it says what is missing
    answer = shell(page.lines(), tmp_path, client_alone, stdin="Tell me a story\n")
    assert STORY.search(answer)
    piped = 'echo "Hello!" | headgate-chat'
    assert f"`{piped}`" in page.text
    assert "sandbox" in shell(piped, tmp_path, client_alone)
    assert "--target" in shell("headgate-chat --help", tmp_path, client_alone)

    shutil.copy(ROOT / "clients" / "python" / "example.py", tmp_path)
    assert STORY.search(shell("python example.py", tmp_path, client_alone))
    assert page.left() == []


def test_the_gateway_needs_no_client(environment: dict[str, str], tmp_path: Path) -> None:
    """`pip install headgate` alone brings the demo, the contract, and none of the client."""
    assert "canal" in shell("headgate demo 'Tell me a story'", tmp_path, environment)
    assert "service ChatService" in shell("headgate proto", tmp_path, environment)
    shell("python -c 'import headgate_client'", tmp_path, environment, status=1)


@pytest.mark.parametrize("name", ["headgate", "headgate_client"])
def test_the_source_distribution_makes_the_same_wheel(
    name: str, plain: dict[str, str], tmp_path: Path
) -> None:
    """Nothing that the wheel holds is missing from the sources, and it is marked as typed."""
    with tarfile.open(packed("python", f"{name}-*.tar.gz")) as sources:
        sources.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    shell(f"'{sys.executable}' -m hatchling build -t wheel", unpacked, plain)
    (again,) = (unpacked / "dist").glob("*.whl")
    assert contents(again) == contents(packed("python", f"{name}-*.whl"))
    assert contents(again)[f"{name}/py.typed"] == b""


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def python(program: str, folder: Path, environment: dict[str, str]) -> str:
    (folder / "program.py").write_text(program)
    return shell("python program.py", folder, environment)
