"""A gateway that was installed from its wheel, and serves its sandbox as the READMEs have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from packages.pages import DIST, Page, fresh, listening, merged, shell
from support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/packages" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def plain() -> dict[str, str]:
    """The environment without settings of headgate's; pip finds our distributions in dist/."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    links = f"{own.get('PIP_FIND_LINKS', '')} {(DIST / 'python').as_uri()}".strip()
    return merged(own, PIP_FIND_LINKS=links, NO_PROXY="127.0.0.1,localhost")


@pytest.fixture(scope="session")
def server(plain: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment into which only `headgate` was installed."""
    folder = tmp_path_factory.mktemp("server")
    shell("pip install --quiet headgate", folder, fresh(folder, plain))
    return folder / "bin"


@pytest.fixture(scope="session")
def environment(plain: dict[str, str], server: Path) -> dict[str, str]:
    """`plain`, with `headgate` on the PATH."""
    return merged(plain, PATH=f"{server}{os.pathsep}{plain['PATH']}")


@pytest.fixture(scope="session")
def sandbox(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """`headgate serve --sandbox`, at the address that it has without a setting."""
    folder = tmp_path_factory.mktemp("sandbox")
    with listening("headgate serve --sandbox", folder, environment) as said:
        assert "grpc listening on 127.0.0.1:50051" in said
        yield


@pytest.fixture(scope="session")
def client_alone(plain: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the first line of the Python client's README was run."""
    folder = tmp_path_factory.mktemp("client")
    environment = fresh(folder, plain)
    shell(Page("clients/python").lines(), folder, environment)
    return environment


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder with ca.crt, tls.crt and tls.key, for the programs that open files of these."""
    folder = tmp_path / "papers"
    folder.mkdir()
    authority = Authority()
    own = authority.sign("search")
    for name, data in (("ca.crt", authority.pem), ("tls.crt", own.certificate)):
        (folder / name).write_bytes(data)
    (folder / "tls.key").write_bytes(own.key)
    return folder
