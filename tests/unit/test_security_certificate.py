"""The server's certificate: what is refused, and what is taken over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from headgate.config import ConfigError, TlsSettings
from headgate.security.certificate import ServerCertificate, _context, load_certificate
from support.certificates import DAY, Authority, Files, Pair

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()


def with_password(pair: Pair) -> Pair:
    key = serialization.load_pem_private_key(pair.key, None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return Pair(pair.certificate, encrypted)


def fault(files: Files) -> str:
    with pytest.raises(ConfigError) as raised:
        load_certificate(TlsSettings(**files.settings()), NOW)
    assert len(raised.value.lines) == 1
    return raised.value.lines[0]


def test_what_cannot_be_a_certificate(tmp_path: Path) -> None:
    """Each fault is one line that names the file."""
    authority = Authority()
    good, other = authority.server(), authority.server()
    files = Files(tmp_path, good, authority.pem)
    crt, key, ca = files.certificate, files.key, files.client_ca

    files.put(Pair(good.certificate, other.key))
    assert fault(files) == f"tls.key_file: the key in {key} is not that of {crt}"
    for wrong in (
        Pair(b"nothing", good.key),
        Pair(good.certificate, b"nothing"),
        with_password(good),
    ):
        files.put(wrong)
        assert fault(files).startswith(f"tls.cert_file, tls.key_file: {crt} and {key} are no")
    files.put(authority.server(lifetime=-DAY))
    assert fault(files).startswith(f"tls.cert_file: the certificate in {crt} expired on 20")
    files.put(good, b"nothing")
    assert fault(files) == f"tls.client_ca_file: {ca} holds no PEM certificate"
    ca.unlink()
    assert fault(files) == f"tls.client_ca_file: cannot read {ca}: No such file or directory"
    key.unlink()
    assert fault(files) == f"tls.key_file: cannot read {key}: No such file or directory"
    crt.unlink()
    assert fault(files) == f"tls.cert_file: cannot read {crt}: No such file or directory"


def test_a_pair_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    """As between the writing of one file and of the other."""
    authority = Authority()
    old, new = authority.server(), authority.server()
    files = Files(tmp_path, old)
    certificate = ServerCertificate(TlsSettings(**files.settings()))
    files.certificate.write_bytes(new.certificate)
    certificate.look()
    certificate.look()
    assert certificate.value.chain == old.certificate
    files.key.write_bytes(new.key)
    certificate.look()
    certificate.look()
    assert certificate.value.chain == new.certificate


def test_files_that_vanish_while_they_are_read_leave_the_old_ones_at_work(tmp_path: Path) -> None:
    """They are read twice, and may be replaced in between."""
    settings = TlsSettings.model_construct(
        cert_file=str(tmp_path / "gone.crt"), key_file=str(tmp_path / "gone.key")
    )
    with pytest.raises(ConfigError, match="cannot be read: no such file or directory"):
        _context(settings)
