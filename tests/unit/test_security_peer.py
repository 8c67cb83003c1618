"""The name that a certificate gives: one rule for both faces."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.security.peer import (
    certificate_name,
    grpc_certificate_name,
    http_certificate_name,
    is_name,
)
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

ID = "spiffe://prod.example/ns/shop/sa/search"


@pytest.mark.parametrize(
    ("uris", "dns", "common_names", "name"),
    [
        ([ID], ["a.example"], ["b"], ID),
        (["https://a.example/x"], ["a.example"], ["b"], "a.example"),
        ([], ["a.example", "b.example"], ["b"], "a.example"),
        ([], [], ["search"], "search"),
        ([], [], ["search", "other"], ""),
        ([], [], [""], ""),
        ([], [], [], ""),
        # An X509-SVID has one URI.
        ([ID, "spiffe://prod.example/other"], [], ["b"], "b"),
        (["spiffe://prod.example/../admin"], ["a.example"], [], "a.example"),
        (["spiffe://prod.example/a//b"], ["a.example"], [], "a.example"),
        (["spiffe://PROD/a"], ["a.example"], [], "a.example"),
        # What passes for another kind of caller is no name.
        ([], [ID], ["search"], "search"),
        ([], [], [ID], ""),
        ([], ["10.0.0.7"], ["10.0.0.8"], ""),
        ([], [], ["2001:db8::/64"], ""),
        ([], [], ["local"], ""),
        ([], [], ["two\nlines"], ""),
        ([], [], ["x" * 513], ""),
    ],
)
def test_the_spiffe_id_else_dns_else_the_common_name(
    uris: list[str], dns: list[str], common_names: list[str], name: str
) -> None:
    """And nothing that could be taken for a caller of another kind."""
    assert certificate_name(uris=uris, dns=dns, common_names=common_names) == name


@given(st.text())
def test_only_uris_name_spiffe_ids(text: str) -> None:
    """Whatever stands in the other fields."""
    name = certificate_name(uris=[], dns=[text], common_names=["spiffe://" + text])
    assert not name.startswith("spiffe://")
    assert name == "" or is_name(name)


def test_what_grpc_tells() -> None:
    """Its auth context has bytes, and a context without TLS has nothing."""
    auth = {"peer_uri": [ID.encode()], "peer_dns": [b"a.example"], "x509_common_name": [b"b"]}
    assert grpc_certificate_name(auth) == ID
    assert grpc_certificate_name({"x509_common_name": [b"b"]}) == "b"
    assert grpc_certificate_name({}) == ""


def test_what_openssl_tells(tmp_path: Path) -> None:
    """The same certificate has the same name over HTTP."""
    pair = Authority().sign("search", uris=(ID,), dns=("a.example",))
    file = tmp_path / "cert.pem"
    file.write_bytes(pair.certificate)
    decoded: dict[str, Any] = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
    assert http_certificate_name(decoded) == ID
    assert http_certificate_name({"subject": decoded["subject"]}) == "search"
    assert http_certificate_name(None) == ""
