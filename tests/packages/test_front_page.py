"""The project's own README and that of the clients: their lines and programs, as pasted."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from packages.pages import ROOT, Page, fresh, listening, merged, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


@pytest.fixture(scope="module")
def page() -> Page:
    """The front page; the tests of this file take its blocks from top to bottom."""
    return Page(".")


@pytest.fixture(scope="module")
def published(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """`headgate sandbox`, at the address that it has without a setting."""
    folder = tmp_path_factory.mktemp("published")
    with listening("headgate sandbox", folder, environment) as said:
        assert "127.0.0.1:8080" in said
        yield


@pytest.fixture(scope="module")
def with_grpcurl(environment: dict[str, str]) -> dict[str, str]:
    """The environment, and grpcurl in it."""
    folder = ROOT / "build" / "packages" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    shell(f"go install {GRPCURL}", folder, merged(environment, GOBIN=folder))
    return merged(environment, PATH=f"{folder}{os.pathsep}{environment['PATH']}")


@pytest.mark.usefixtures("sandbox")
def test_the_first_screen(page: Page, client_alone: dict[str, str], tmp_path: Path) -> None:
    """Two targets of make, each of which is a step of CI, and a caller."""
    targets = [line.split("#")[0].split() for line in page.lines().splitlines()]
    assert targets == [["make", "demo"], ["make", "test"]]
    assert {"demo", "test"} <= set((ROOT / ".ci" / "run").read_text("utf-8").split())
    (tmp_path / "caller.py").write_text(page.program("python"))
    assert re.search(r"\n\d+ tokens\n$", shell("python caller.py", tmp_path, client_alone))


def test_the_client_from_a_checkout(page: Page, plain: dict[str, str], tmp_path: Path) -> None:
    """The first screen's way to the Python client, and that of the clients' own pages."""
    line = "pip install ./clients/python"
    for text in (page.text, Page("clients").text, Page("clients/python").text):
        assert f"`{line}`" in text
    environment = fresh(tmp_path, plain)
    shell(line, ROOT, environment)
    shell("python -c 'import headgate_client'", tmp_path, environment)


def test_in_front_of_an_upstream(page: Page, plain: dict[str, str], tmp_path: Path) -> None:
    """Every one of the lines starts a gateway; the upstream need not be there for that."""
    install, *lines = page.lines().replace("\\\n", " ").splitlines()
    environment = merged(fresh(tmp_path, plain), HEADGATE_LISTEN="127.0.0.1:0")
    shell(install, ROOT, environment)
    assert len(lines) == 5
    for line in lines:
        with listening(line, tmp_path, environment) as said:
            assert "grpc listening" in said


def test_the_contract_by_itself(page: Page, environment: dict[str, str], tmp_path: Path) -> None:
    """The program gives out what is in the repository."""
    shell(page.lines(), tmp_path, environment)
    contract = Path("headgate") / "v1" / "chat.proto"
    assert (tmp_path / "chat.proto").read_bytes() == (ROOT / "protos" / contract).read_bytes()
    described = FileDescriptorSet.FromString((tmp_path / "chat.binpb").read_bytes())
    assert described.file[-1].name == contract.as_posix()


@pytest.mark.usefixtures("sandbox")
def test_a_generic_client(page: Page, with_grpcurl: dict[str, str], tmp_path: Path) -> None:
    """`grpcurl` needs no file of ours."""
    serve, _, calls = page.lines().partition("\n")
    assert serve == "headgate serve --sandbox &"
    said = shell(calls, tmp_path, with_grpcurl)
    assert {"headgate.v1.ChatService", "grpc.health.v1.Health"} <= set(said.splitlines())
    assert '"finished": {' in said


@pytest.mark.usefixtures("published")
def test_the_published_snippets(page: Page, environment: dict[str, str], tmp_path: Path) -> None:
    """Over HTTP: a command, Python (with what the tests have installed) and JavaScript."""
    assert '"content":"' in shell(page.lines(), tmp_path, environment)
    (tmp_path / "ask.py").write_text(page.program("python"))
    assert "sandbox" in shell(f"'{sys.executable}' ask.py", tmp_path, environment)
    (tmp_path / "ask.mjs").write_text(page.program("javascript"))
    assert "sandbox" in shell("node ask.mjs", tmp_path, environment)


def test_the_configuration(page: Page, environment: dict[str, str], tmp_path: Path) -> None:
    """The file is understood, whole; and it was the page's last block."""
    (tmp_path / "headgate.toml").write_text(page.program("toml"))
    said = shell("headgate check --config headgate.toml", tmp_path, environment)
    assert "headgate.toml" in said
    assert page.left() == []


def test_the_page_of_the_clients() -> None:
    """How each is installed is what its own README says."""
    text = (ROOT / "clients" / "README.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| \[.+?\]\((\w+)/README\.md\) \| (.+?) \|", text)
    assert [folder for folder, _ in rows] == [
        *("python", "go", "typescript", "java", "rust", "cpp", "web")
    ]
    for folder, install in rows:
        own = (ROOT / "clients" / folder / "README.md").read_text("utf-8")
        commands = re.findall(r"`(.+?)`", install)
        assert commands
        # The page may leave out what follows, such as a version.
        assert [one for one in commands if one.rstrip(")") not in unfolded(own)] == []


def unfolded(text: str) -> str:
    """Maven's coordinates are two lines of XML there, and one word here."""
    return re.sub(r"<groupId>(.+)</groupId>\s*<artifactId>(.+)</artifactId>", r"\1:\2", text)
