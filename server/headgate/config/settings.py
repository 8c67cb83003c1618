"""All settings together, the profiles beneath them, and the rules between sections."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from headgate.config.sections import (
    CallersSettings,
    HttpSettings,
    RetrySettings,
    SandboxSettings,
    Section,
    ServerSettings,
    SystemPromptSettings,
    ThrottleSettings,
    UpstreamSettings,
)
from headgate.config.values import Clash, HttpListen, Listen, parse_address

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
    system_prompt: SystemPromptSettings = SystemPromptSettings()
    server: ServerSettings = ServerSettings()
    sandbox: SandboxSettings = SandboxSettings()

    # The source of each setting that was given, by its dotted name; for `headgate check`.
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> dict[str, str]:
        """Where each setting that was given came from, by its dotted name."""
        return self._origins

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
    def _own_ports(self) -> Self:
        if self.http_listen is not None:
            grpc, http = parse_address(self.listen), parse_address(self.http_listen)
            if grpc == http and grpc.port != 0:
                raise Clash("http_listen", self.http_listen, "must differ from listen")
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
