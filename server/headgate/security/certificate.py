"""The server's certificate for both faces, changed under way without closing a connection."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import grpc

from headgate.config import ConfigError
from headgate.security.files import FromFiles, read_bytes

if TYPE_CHECKING:
    from headgate.config import TlsSettings


class Certificate(NamedTuple):
    """A certificate and its key, checked.

    Attributes:
        chain: PEM, the server's own certificate first.
        key: PEM.
        client_ca: PEM of the authorities whose client certificates count; None asks for none.
        context: the same for the HTTP face.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


def load_certificate(tls: TlsSettings, now: float) -> Certificate:
    """Read what the settings name.

    Args:
        tls: with `cert_file` and `key_file` set.
        now: seconds since 1970.

    Raises:
        ConfigError: a file cannot be read or used, or the certificate has expired.
    """
    before = _read(tls)
    context = _context(tls)
    if _read(tls) != before:  # OpenSSL reads the files itself, and they changed in between
        raise ConfigError([f"tls.cert_file: {tls.cert_file} changed while it was read"])
    chain, key, client_ca = before
    not_after = _not_after(tls, chain)
    if not_after <= now:
        day = datetime.fromtimestamp(not_after, UTC).isoformat().replace("+00:00", "Z")
        raise ConfigError([f"tls.cert_file: the certificate in {tls.cert_file} expired on {day}"])
    return Certificate(chain, key, client_ca, context)


def _read(tls: TlsSettings) -> tuple[bytes, bytes, bytes | None]:
    return (
        read_bytes("tls.cert_file", tls.cert_file or ""),
        read_bytes("tls.key_file", tls.key_file or ""),
        read_bytes("tls.client_ca_file", tls.client_ca_file) if tls.client_ca_file else None,
    )


def _not_after(tls: TlsSettings, chain: bytes) -> float:
    """When the server's own certificate expires, in seconds since 1970."""
    from cryptography import x509  # noqa: PLC0415 - 8 MiB, for TLS alone

    try:
        return x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc.timestamp()
    except ValueError:
        raise ConfigError([f"tls.cert_file: {tls.cert_file} holds no PEM certificate"]) from None


def _context(tls: TlsSettings) -> ssl.SSLContext:
    """The HTTP face's context; OpenSSL also finds out whether key and certificate fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A password is never asked for: gRPC knows no keys with one.
        context.load_cert_chain(tls.cert_file or "", tls.key_file, password="")
    except ssl.SSLError as error:
        raise ConfigError([_unusable(tls, error)]) from None
    except OSError as error:
        raise ConfigError([_unreadable("cert_file, tls.key_file", error)]) from None
    if tls.client_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        # No session outlives a change of the authorities.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        try:
            context.load_verify_locations(tls.client_ca_file)
        except ssl.SSLError:
            line = f"tls.client_ca_file: {tls.client_ca_file} holds no PEM certificate"
            raise ConfigError([line]) from None
        except OSError as error:
            raise ConfigError([_unreadable("client_ca_file", error)]) from None
    return context


def _unreadable(names: str, error: OSError) -> str:
    """It was there a moment ago, and is being replaced, perhaps."""
    return f"tls.{names}: cannot be read: {(error.strerror or str(error)).lower()}"


def _unusable(tls: TlsSettings, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"tls.key_file: the key in {tls.key_file} is not that of {tls.cert_file}"
    return (
        f"tls.cert_file, tls.key_file: {tls.cert_file} and {tls.key_file} are no certificate and"
        " its key; both must be PEM, and the key without a password"
    )


class ServerCertificate(FromFiles[Certificate]):
    """The certificate at work.

    Args:
        tls: with `cert_file` and `key_file` set.

    Raises:
        ConfigError: see `load_certificate`.
    """

    def __init__(self, tls: TlsSettings) -> None:
        paths = [path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path]
        super().__init__(paths, lambda: load_certificate(tls, time.time()), "certificate")

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For gRPC; each handshake asks for the certificate at work."""
        last = self.value

        def changed() -> grpc.ServerCertificateConfiguration | None:
            # On a thread of gRPC's: nothing here blocks or raises.
            nonlocal last
            current = self.value
            if current is last:
                return None
            last = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(last),
            changed,  # type: ignore[arg-type]  # None is allowed, and means no change
            require_client_authentication=last.client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """For the HTTP face; each handshake moves on to the certificate at work."""
        front = self.value.context

        def change(connection: ssl.SSLObject, _: str | None, context: ssl.SSLContext) -> None:
            current = self.value.context
            if current is not context:
                connection.context = current

        front.sni_callback = change
        return front


def _configuration(certificate: Certificate) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificate.key, certificate.chain)], certificate.client_ca
    )
