"""The sections `tls` and `auth`: who may come in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from headgate.config.section import Section
from headgate.config.values import Algorithms, Clash, FiniteSeconds, KeysUrl, Text, Timeout


class TlsSettings(Section):
    """TLS for both faces; a Unix socket has none."""

    cert_file: Text = Field(
        default=None,
        description="A PEM file with the server's certificate and what is between it and the"
        " authority; read again when it changes.",
    )
    key_file: Text = Field(
        default=None, description="A PEM file with the certificate's key, without a password."
    )
    client_ca_file: Text = Field(
        default=None,
        description="A PEM file of the authorities that may sign client certificates; with it,"
        " every client must have one.",
    )

    @property
    def on(self) -> bool:
        return self.cert_file is not None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            missing = "key_file" if self.key_file is None else "cert_file"
            raise Clash(missing, "none", "must be set: a certificate and its key go together")
        if self.client_ca_file is not None and not self.on:
            allowed = "must not be set without tls.cert_file and tls.key_file"
            raise Clash("client_ca_file", self.client_ca_file, allowed)
        return self


class AuthSettings(Section):
    """Bearer tokens, and whether callers must show who they are."""

    required: bool = Field(
        default=False,
        description="Refuse callers of whom only the address is known; health checks are free.",
    )
    tokens_file: Text = Field(
        default=None,
        description="A file of hashed bearer tokens, as `headgate token` writes them; read again"
        " when it changes.",
    )
    jwks_file: Text = Field(
        default=None,
        description="A JWKS file: the keys that sign JSON Web Tokens; read again when it changes.",
    )
    jwks_url: KeysUrl = Field(default=None, description="The URL of such a JWKS, fetched at start.")
    jwks_ca_file: Text = Field(
        default=None,
        description="A PEM file of the authorities that may sign that server's certificate.",
    )
    jwks_interval: Timeout = Field(
        default=300.0,
        description="Seconds between two fetches; a token with an unknown key brings one forward.",
    )
    jwt_issuer: Text = Field(default=None, description="What `iss` of a JSON Web Token must be.")
    jwt_audience: Text = Field(
        default=None, description="What must be, or be among, `aud` of a JSON Web Token."
    )
    jwt_algorithms: Algorithms = Field(
        default=["RS256"],
        min_length=1,
        description="The signatures that count, whatever a token says of itself.",
    )
    jwt_claim: str = Field(
        default="sub", min_length=1, description="The claim that names the caller."
    )
    jwt_prefix: Text = Field(
        default=None,
        description="Put in front of that name, so that it can be no other kind of caller.",
    )
    jwt_leeway: FiniteSeconds = Field(
        default=30.0, description="Seconds that the issuer's clock may be ahead or behind."
    )

    @property
    def takes_web_tokens(self) -> bool:
        return self.jwks_file is not None or self.jwks_url is not None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.jwks_file is not None and self.jwks_url is not None:
            raise Clash("jwks_file", self.jwks_file, "must not be set together with auth.jwks_url")
        for key in ("jwt_issuer", "jwt_audience"):
            if self.takes_web_tokens != (getattr(self, key) is not None):
                given = getattr(self, key) or "none"
                allowed = "must be set with auth.jwks_file or auth.jwks_url, and only with it"
                raise Clash(key, given, allowed)
        if self.jwks_ca_file is not None and self.jwks_url is None:
            raise Clash("jwks_ca_file", self.jwks_ca_file, "must not be set without auth.jwks_url")
        return self
