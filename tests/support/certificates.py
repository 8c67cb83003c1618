"""Certificates for tests: authorities, and what they sign, as PEM files that can be replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates.

    Attributes:
        pem: its own certificate.
    """

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        own = _builder(self._name, self._name, self._key.public_key(), DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = own.sign(self._key, hashes.SHA256())
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        common_name: str = "",
        *,
        uris: tuple[str, ...] = (),
        dns: tuple[str, ...] = (),
        lifetime: timedelta = DAY,
    ) -> Pair:
        """A certificate with these names; a negative lifetime makes one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self._name, key.public_key(), lifetime)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        for name in dns:
            names.append(_dns_or_ip(name))  # noqa: PERF401 - a list of one kind follows the other
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return Pair(
            signed.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def server(self, name: str = "localhost", lifetime: timedelta = DAY) -> Pair:
        """For a server on this machine."""
        return self.sign(name, dns=(name, "localhost", "127.0.0.1"), lifetime=lifetime)


class Files:
    """A server's files in a directory: `settings()` names them, `put()` replaces them."""

    def __init__(self, directory: Path, pair: Pair, client_ca: bytes | None = None) -> None:
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self.client_ca = directory / "clients.crt"
        self._mutual = client_ca is not None
        self.put(pair, client_ca)

    def put(self, pair: Pair, client_ca: bytes | None = None) -> None:
        self.certificate.write_bytes(pair.certificate)
        self.key.write_bytes(pair.key)
        if client_ca is not None:
            self.client_ca.write_bytes(client_ca)

    def settings(self) -> dict[str, str]:
        """A `tls` section."""
        own = {"cert_file": str(self.certificate), "key_file": str(self.key)}
        return own | ({"client_ca_file": str(self.client_ca)} if self._mutual else {})


def _name(common_name: str) -> x509.Name:
    if not common_name:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _dns_or_ip(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + lifetime)
    )
