"""Envoy takes what is in deploy/envoy, and it fits the program's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.config import Settings
from support.certificates import Authority
from support.envoy import Files, faults, manager, without_tls

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("edge", "sidecar", "balance")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    authority = Authority()
    files.put(authority.server(), authority.pem)
    return files


@pytest.mark.parametrize("name", NAMES)
def test_envoy_takes_it(name: str, files: Files) -> None:
    """With nothing changed but the folder and the addresses, and without a warning."""
    assert faults(files.config(name, ["127.0.0.1:50051"]), files.folder) == ""


def test_the_edge_may_do_without_tls(files: Files) -> None:
    assert faults(without_tls(files.config("edge", ["127.0.0.1:50051"])), files.folder) == ""


def test_a_mistake_is_found(files: Files) -> None:
    """So that the tests above say something."""
    config = files.config("edge", ["127.0.0.1:50051"])
    manager(config)["stream_idle_timeuot"] = "1s"
    assert "stream_idle_timeuot" in faults(config, files.folder)


@pytest.mark.parametrize("name", NAMES)
def test_no_silence_of_headgates_is_too_long_for_it(name: str, files: Files) -> None:
    """A unary answer may be waited for, and made, as long as the settings say."""
    settings = Settings()
    longest = settings.throttle.max_wait + settings.upstream.total_timeout
    told = manager(files.config(name, []))["stream_idle_timeout"]
    assert float(told.removesuffix("s")) > longest


def test_messages_may_be_as_large_as_headgates(files: Files) -> None:
    transcoder = manager(files.config("edge", []))["http_filters"][2]["typed_config"]
    largest = Settings().server.max_message_bytes
    assert transcoder["max_request_body_size"] == largest
    assert transcoder["max_response_body_size"] == largest


def test_edge_and_balance_treat_headgates_alike(files: Files) -> None:
    edge, balance = files.config("edge", []), files.config("balance", [])
    assert edge["static_resources"]["clusters"] == balance["static_resources"]["clusters"]
    assert (
        manager(edge)["route_config"]["virtual_hosts"][0]["routes"]
        == (manager(balance)["route_config"]["virtual_hosts"][0]["routes"])
    )
