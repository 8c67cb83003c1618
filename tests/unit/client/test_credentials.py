"""TLS from PEM files, and what does not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import grpc
import pytest

from headgate_client import AsyncClient, Client
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_without_anything_a_channel_is_plaintext(kind: type[Client | AsyncClient]) -> None:
    """And with an authority, as a path or as bytes, or a pair, it is not."""
    assert kind()._credentials is None
    pair = Authority().sign("search")
    authority: dict[str, Any] = {"ca": Authority().pem}
    own: dict[str, Any] = {"cert": pair.certificate, "key": pair.key}
    for pems in (authority, own, authority | own):
        assert isinstance(kind(**pems)._credentials, grpc.ChannelCredentials)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"cert": b"x"}, "cert and key go together"),
        ({"key": b"x"}, "cert and key go together"),
        ({"credentials": grpc.ssl_channel_credentials(), "ca": b"x"}, "take the place of ca"),
        ({"server_name": "gate.example"}, "server_name is for TLS"),
    ],
)
def test_what_does_not_go_together(arguments: dict[str, Any], fault: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValueError, match=fault):
        Client(**arguments)


@pytest.mark.parametrize(("kind", "module"), [(Client, grpc), (AsyncClient, grpc.aio)])
async def test_the_servers_name_is_an_option_of_the_channel(
    kind: type[Client | AsyncClient], module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without one the target's name is expected, as gRPC does by itself."""
    opened: list[dict[str, Any]] = []

    def open_channel(_target: str, _credentials: object, options: Any) -> Any:
        opened.append(dict(options))
        return MagicMock()

    monkeypatch.setattr(module, "secure_channel", open_channel)
    for name in (None, "gate.example"):
        kind(ca=Authority().pem, server_name=name)._service()
    names = [options.get("grpc.ssl_target_name_override") for options in opened]
    assert names == [None, "gate.example"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(FileNotFoundError, match="gone"):
        Client(ca=tmp_path / "gone")
