"""All settings together, the profiles beneath them, and the rules between sections."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from headgate.config.callers import CallersSettings
from headgate.config.http import HttpSettings
from headgate.config.idempotency import IdempotencySettings
from headgate.config.log import LogSettings
from headgate.config.metrics import MetricsSettings
from headgate.config.retry import RetrySettings
from headgate.config.sandbox import SandboxSettings
from headgate.config.section import Section
from headgate.config.security import AuthSettings, TlsSettings
from headgate.config.server import ServerSettings
from headgate.config.system_prompt import SystemPromptSettings
from headgate.config.telemetry import TelemetrySettings
from headgate.config.throttle import ThrottleSettings
from headgate.config.upstream import UpstreamSettings
from headgate.config.values import Address, Clash, HttpListen, Listen, is_loopback, parse_address

NO_PACE = {"rate": math.inf, "min_interval": 0.0}
# Sets of defaults, each beneath everything that is set. OpenAI's newer models refuse max_tokens;
# own servers (vLLM, llama.cpp, Ollama) mostly know nothing else.
PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "published": {},
    "openai": {"throttle": NO_PACE, "upstream": {"max_tokens_field": "max_completion_tokens"}},
    "unlimited": {"throttle": NO_PACE},
}
# What `headgate sandbox` puts beneath everything that is set: the published limits for each peer.
SANDBOX_DEFAULTS: dict[str, Any] = {
    "listen": "127.0.0.1:8080",
    "http.cors_origins": ["*"],
    "callers.rate": 2.0,
    "callers.min_interval": 0.5,
    "callers.max_queue": 20,
}


class Settings(Section):
    """The configuration of one process, frozen.

    Making one reads nothing from the environment; `headgate.config.load` does.
    """

    profile: Literal["published", "openai", "unlimited"] = Field(
        default="published",
        description="A set of defaults: `published` (2 a second, 500 ms apart), `openai`"
        " (no pace, max_completion_tokens) or `unlimited` (no pace).",
    )
    listen: Listen = Field(
        default="127.0.0.1:50051",
        description="Where gRPC is served, and the sandbox's HTTP: HOST:PORT or unix:PATH.",
    )
    http_listen: HttpListen = Field(
        default=None, description="Where the HTTP face is served: HOST:PORT."
    )
    http: HttpSettings = HttpSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    retry: RetrySettings = RetrySettings()
    callers: CallersSettings = CallersSettings()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    system_prompt: SystemPromptSettings = SystemPromptSettings()
    server: ServerSettings = ServerSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    sandbox: SandboxSettings = SandboxSettings()

    # The source of each setting that was given, by its dotted name; for `headgate check`.
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> dict[str, str]:
        """Where each setting that was given came from, by its dotted name."""
        return self._origins

    def secrets(self) -> list[str]:
        """Every secret in clear, also from files; for those who keep them out of what is written.

        Raises:
            ConfigError: a file cannot be read.
        """
        read = (self.upstream.read_api_key(), self.throttle.read_store_password())
        otlp = (value.get_secret_value() for value in self.telemetry.otlp_headers.values())
        return [*filter(None, read), *self.upstream.secrets(), *otlp]

    @model_validator(mode="before")
    @classmethod
    def _lay_profile_beneath(cls, data: Any) -> Any:
        name = data.get("profile", "published") if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in PROFILES:
            return data
        merged = dict(data)
        for section, defaults in PROFILES[name].items():
            given = merged.get(section, {})
            if isinstance(given, BaseModel):
                given = given.model_dump(exclude_unset=True)
            if isinstance(given, dict):
                merged[section] = defaults | given
        return merged

    @model_validator(mode="after")
    def _security_has_effect(self) -> Self:
        on_tcp = bool(self.http_listen or not parse_address(self.listen).path)
        if self.tls.on and not on_tcp:
            allowed = "must not be set where only a Unix socket is served: that has no TLS"
            raise Clash("tls.cert_file", self.tls.cert_file, allowed)
        callers = self.callers
        trusted = callers.trusted_peers or callers.trusted_names
        tokens = self.auth.tokens_file or self.auth.takes_web_tokens
        if self.auth.required and not (tokens or trusted or self.tls.client_ca_file):
            allowed = (
                "must be false without credentials to ask for: set auth.tokens_file,"
                " auth.jwks_file, auth.jwks_url, tls.client_ca_file or callers.trusted_peers"
            )
            raise Clash("auth.required", value=True, allowed=allowed)
        if callers.trusted_names and not (callers.trusted_peers or self.tls.client_ca_file):
            allowed = "must not be set without tls.client_ca_file or callers.trusted_peers"
            raise Clash("callers.trusted_names", callers.trusted_names, allowed)
        return self

    @model_validator(mode="after")
    def _own_ports(self) -> Self:
        listens = {
            "listen": self.listen,
            "http_listen": self.http_listen,
            "server.health_listen": self.server.health_listen,
            "metrics.listen": self.metrics.listen,
            "server.channelz_listen": self.server.channelz_listen,
        }
        taken: dict[Address, str] = {}
        for name, listen in listens.items():
            if listen is None:
                continue
            address = parse_address(listen)
            if address in taken:
                raise Clash(name, listen, f"must differ from {taken[address]}")
            if address.path or address.port != 0:
                taken[address] = name
        return self

    @model_validator(mode="after")
    def _workers_share(self) -> Self:
        workers, throttle = self.server.workers, self.throttle
        if workers == 1:
            return self
        more = f"with server.workers {workers}"
        if parse_address(self.listen).path:
            allowed = f"must be HOST:PORT {more}: a Unix socket has one listener"
            raise Clash("listen", self.listen, allowed)
        if throttle.max_in_flight < workers:
            allowed = f"must be {workers} or more {more}: each worker has a part of it"
            raise Clash("throttle.max_in_flight", throttle.max_in_flight, allowed)
        if not throttle.max_queue and (throttle.rate != math.inf or throttle.min_interval):
            allowed = f"must be 1 or more {more}: calls wait while a slot is fetched"
            raise Clash("throttle.max_queue", throttle.max_queue, allowed)
        return self

    @model_validator(mode="after")
    def _no_key_for_every_page(self) -> Self:
        if "*" in self.http.cors_origins and self.upstream.has_credentials:
            raise Clash(
                "http.cors_origins",
                "*",
                "must name each origin: the upstream gets a key, and any web page could use it up",
            )
        return self


def plain_text_warnings(settings: Settings) -> list[str]:
    """One line for each address that others can reach, and read along."""
    if settings.tls.on:
        return []
    listens = [settings.listen, *([settings.http_listen] if settings.http_listen else [])]
    return [
        f"WARNING: {listen} is plain text, and not of this machine alone: others may read and"
        " change what callers send, tokens included; set tls.cert_file and tls.key_file, or let a"
        " mesh do it"
        for listen in listens
        if not (address := parse_address(listen)).path and not is_loopback(address.host)
    ]
