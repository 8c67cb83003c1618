"""Who a caller is, and whose word is believed."""

from __future__ import annotations

import pytest

from headgate.identity import Identity, address_name, peer_address, stated_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "local"),
    ],
)
def test_a_caller_is_its_address(address: str | None, name: str) -> None:
    """IPv4 as it is, IPv6 by /64, a Unix socket is local."""
    assert address_name(address) == name


def test_strangers_are_not_believed() -> None:
    """Anybody can write a header."""
    assert not Identity(["10.0.0.0/8"]).trusts("192.0.2.7")
    assert not Identity(["10.0.0.0/8"]).trusts(None)


def test_a_trusted_peer_names_the_caller() -> None:
    """A sidecar knows who it speaks for."""
    assert Identity(["10.0.0.0/8"]).trusts("10.1.2.3")
    assert Identity(["unix"]).trusts(None)
    assert stated_name({"x-headgate-caller": " search "}) == "search"
    assert stated_name({"x-headgate-caller": "a" * 255 + " b"}) == "a" * 255


@pytest.mark.parametrize(
    ("forwarded", "name"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("198.51.100.1:4711, 10.0.0.2:443", "198.51.100.1"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("198.51.100.1, nonsense", "10.1.2.3"),
        ("", "10.1.2.3"),
    ],
)
def test_the_last_untrusted_forwarded_address_counts(forwarded: str, name: str) -> None:
    """What a caller wrote in front of it is not believed."""
    headers = {"x-forwarded-for": forwarded}
    assert Identity(["10.0.0.0/8"]).forwarded("10.1.2.3", headers) == name


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50051", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:[fe80::1%25eth0]:1", "fe80::1%eth0"),
        ("unix:", None),
        ("", None),
    ],
)
def test_peer_names_of_grpc(peer: str, address: str | None) -> None:
    """GRPC writes peers as scheme and address."""
    assert peer_address(peer) == address
