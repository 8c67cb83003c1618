"""TLS from PEM files, and what does not go together."""

from __future__ import annotations

import re
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


GARBAGE = [
    b"",
    b" \n",
    b"hello\n",
    b"\0" + Authority().pem,
    Authority().pem.partition(b"-----END")[0],
]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_pem_without_a_block_is_refused(
    garbage: bytes, kind: type[Client | AsyncClient], tmp_path: Path
) -> None:
    """An authority above all: gRPC would take an empty one for leave to trust all it knows."""
    file = tmp_path / "file"
    file.write_bytes(garbage)
    pair = Authority().sign("search")
    certificate, key = pair.certificate, pair.key
    for pem, shown in ((garbage, ""), (file, f" ({file})"), (str(file), f" ({file})")):
        wrong: list[tuple[str, dict[str, Any]]] = [
            (f"ca{shown} holds no PEM certificate", {"ca": pem}),
            (f"cert{shown} holds no PEM certificate", {"cert": pem, "key": key}),
            (f"key{shown} holds no PEM private key", {"cert": certificate, "key": pem}),
        ]
        for fault, arguments in wrong:
            with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
                kind(**arguments)


def test_the_kind_of_the_block_counts() -> None:
    """A key is no authority, and a certificate no key."""
    pair = Authority().sign("search")
    with pytest.raises(ValueError, match="ca holds no PEM certificate"):
        Client(ca=pair.key)
    with pytest.raises(ValueError, match="key holds no PEM private key"):
        Client(cert=pair.certificate, key=pair.certificate)


def test_what_stands_beside_a_block_is_passed_over() -> None:
    """Bundles have names between their certificates, and older keys say what kind they are."""
    pair = Authority().sign("search")
    key = pair.key.replace(b" PRIVATE", b" EC PRIVATE")
    bundle = "# Främmande\n".encode() + Authority().pem + b"\n" + Authority().pem
    assert Client(ca=bundle, cert=pair.certificate, key=key)._credentials is not None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(FileNotFoundError, match="gone"):
        Client(ca=tmp_path / "gone")
