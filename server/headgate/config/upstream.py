"""The section `upstream`: the chat endpoint behind the gateway."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import unquote_plus, urlsplit

from pydantic import Field, model_validator

from headgate.config.files import read_secret
from headgate.config.section import MIB, Section
from headgate.config.values import (
    AutoOrBool,
    Clash,
    Headers,
    Limit,
    Proxy,
    Secret,
    Text,
    Timeout,
    Url,
    Words,
    conceal_query,
)

_CREDENTIAL_WORDS = ("authorization", "cookie", "key", "token")


class UpstreamSettings(Section):
    """The chat endpoint, how to reach it, and how long it may take."""

    url: Url = Field(default=None, description="The full URL of the upstream's chat endpoint.")
    api_key: Secret = Field(
        default=None, description="Sent as a bearer token; a secret, so it has no flag."
    )
    api_key_file: Text = Field(default=None, description="A file that holds the API key.")
    model: Text = Field(
        default=None, description="The model that is sent when the caller names none."
    )
    headers: Headers = Field(
        default={},
        description="Further headers of every request; their values are secrets: no flag.",
    )
    ca_file: Text = Field(
        default=None,
        description="A PEM file of the authorities that may sign the upstream's certificate.",
    )
    proxy: Proxy = Field(
        default=None,
        description="An HTTP proxy's URL, or `environment` to obey HTTPS_PROXY and its kin.",
    )
    connect_timeout: Timeout = Field(default=5.0, description="Seconds to connect, TLS included.")
    first_token_timeout: Timeout = Field(
        default=60.0, description="Seconds from sending a streamed request to its first content."
    )
    idle_timeout: Timeout = Field(
        default=30.0, description="Seconds that a stream may be silent between two reads."
    )
    total_timeout: Timeout = Field(
        default=600.0,
        description="Seconds for one call over all of its attempts, waiting not counted.",
    )
    max_event_bytes: Limit = Field(
        default=16 * MIB, ge=1, description="The largest event that a stream may hold."
    )
    max_response_bytes: Limit = Field(
        default=16 * MIB, ge=1, description="The largest answer to a call that does not stream."
    )
    include_usage: AutoOrBool = Field(
        default="auto",
        description="Ask streams for usage; auto: when the URL ends in /chat/completions.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="The upstream's name for the limit on tokens."
    )
    extra_allowed: Words = Field(
        default=[], description="Parameters outside the contract that callers may send in `extra`."
    )

    @property
    def sends_include_usage(self) -> bool:
        """Whether a stream asks for usage, with `auto` decided."""
        if self.include_usage == "auto":
            return urlsplit(self.url or "").path.rstrip("/").endswith("/chat/completions")
        return self.include_usage

    @property
    def shown_url(self) -> str:
        """The URL as a person or a log may see it: its query may hold a key."""
        return conceal_query(self.url or "")

    @property
    def has_credentials(self) -> bool:
        """Whether requests carry something that only the operator should be able to use."""
        names = [*self.headers, *(name for name, _ in self._query())]
        secret = (word in name.lower() for name in names for word in _CREDENTIAL_WORDS)
        return bool(self.api_key or self.api_key_file or any(secret))

    def header_values(self) -> dict[str, str]:
        """The configured headers in clear; not for logs."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}

    def secrets(self) -> list[str]:
        """In clear, what these settings hold and nobody may see; the file of a key is not read."""
        values = [value for _, value in self._query()]
        return [
            *([self.api_key.get_secret_value()] if self.api_key else []),
            *self.header_values().values(),
            *values,
            *map(unquote_plus, values),
        ]

    def _query(self) -> list[tuple[str, str]]:
        """Names and values of the URL's query as they stand there; a word alone is a value."""
        pieces = (piece.partition("=") for piece in urlsplit(self.url or "").query.split("&"))
        return [(name, value) if equals else ("", name) for name, equals, value in pieces]

    def read_api_key(self) -> str | None:
        """The key in clear, from the setting or from the file; not for logs.

        Raises:
            ConfigError: the file cannot be read, or holds no key.
        """
        if self.api_key_file is None:
            return self.api_key.get_secret_value() if self.api_key else None
        return read_secret("upstream.api_key_file", self.api_key_file)

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_file is not None:
            allowed = "must not be set together with upstream.api_key"
            raise Clash("api_key_file", self.api_key_file, allowed)
        return self
