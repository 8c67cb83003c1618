"""The channel's options: one set for all clients, kept equal to the repository's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import headgate_client
from headgate_client.channel import channel_options

PROTOS = Path(__file__).parents[3] / "protos"
PACKAGE = Path(headgate_client.__file__).parent


def service_config() -> Any:
    return json.loads(str(dict(channel_options())["grpc.service_config"]))


@pytest.mark.parametrize("name", ["channel_defaults.json", "service_config.json"])
def test_the_package_holds_the_repositorys_settings(name: str) -> None:
    """The JSON files in the package say what the ones for every language say."""
    assert json.loads((PACKAGE / name).read_text()) == json.loads((PROTOS / name).read_text())


def test_the_options_are_gentle_and_roomy() -> None:
    """Keepalive finds a dead server in 40 s; a message may have 16 MiB; retries are buffered."""
    options = dict(channel_options())
    assert options["grpc.keepalive_time_ms"] == 30_000
    assert options["grpc.keepalive_timeout_ms"] == 10_000
    assert options["grpc.max_receive_message_length"] == 16 * 2**20
    assert options["grpc.max_send_message_length"] == 16 * 2**20
    assert options["grpc.per_rpc_retry_buffer_size"] == 4 * 2**20


def test_the_user_agent_names_the_client_and_its_version() -> None:
    """Servers can tell who calls."""
    expected = f"headgate-client-python/{headgate_client.__version__}"
    assert dict(channel_options())["grpc.primary_user_agent"] == expected


def test_only_unavailable_is_retried_and_long_streams_are_not_cut() -> None:
    """The service config retries UNAVAILABLE after 0.1 s or more, without timeout or waiting."""
    for method in service_config()["methodConfig"]:
        assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
        assert float(method["retryPolicy"]["initialBackoff"].rstrip("s")) >= 0.1
        assert method.keys() == {"name", "retryPolicy"}
