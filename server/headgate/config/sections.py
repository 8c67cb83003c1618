"""The sections of the configuration; a field's description is its one line of help."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headgate.config.fault import ConfigError
from headgate.config.values import (
    AutoOrBool,
    Clash,
    FiniteSeconds,
    Headers,
    HttpListen,
    Limit,
    Methods,
    Networks,
    Number,
    Origins,
    Proxy,
    Rate,
    Seconds,
    Secret,
    Store,
    Text,
    Timeout,
    Url,
    Whole,
    Words,
    check_secret,
)

MIB = 1024 * 1024
# Their values are never shown, and they have no flag: a process list shows flags.
SECRETS = frozenset(
    {
        "upstream.api_key",
        "upstream.headers",
        "throttle.store_password",
        "telemetry.otlp_headers",
    }
)
_CREDENTIAL_WORDS = ("authorization", "cookie", "key", "token")


class Section(BaseModel):
    """Frozen: a running server's settings do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HttpSettings(Section):
    cors_origins: Origins = Field(
        default=[], description="Web origins that browsers may call the HTTP face from; `*` is any."
    )


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
    def has_credentials(self) -> bool:
        """Whether requests carry something that only the operator should be able to use."""
        secret = (word in name.lower() for name in self.headers for word in _CREDENTIAL_WORDS)
        return bool(self.api_key or self.api_key_file or any(secret))

    def header_values(self) -> dict[str, str]:
        """The configured headers in clear; not for logs."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}

    def read_api_key(self) -> str | None:
        """The key in clear, from the setting or from the file; not for logs.

        Raises:
            ConfigError: the file cannot be read, or holds no key.
        """
        if self.api_key_file is None:
            return self.api_key.get_secret_value() if self.api_key else None
        return _read_secret("upstream.api_key_file", self.api_key_file)

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_file is not None:
            allowed = "must not be set together with upstream.api_key"
            raise Clash("api_key_file", self.api_key_file, allowed)
        return self


class ThrottleSettings(Section):
    """The schedule of attempts; rate and min_interval are the published API's unless a profile
    says otherwise.
    """

    rate: Rate = Field(default=2.0, description="Attempts a second, over all callers.")
    min_interval: FiniteSeconds = Field(default=0.5, description="Seconds between two attempts.")
    burst: Whole = Field(
        default=1,
        ge=1,
        description="Attempts that may be made up at once after a pause (needs a rate).",
    )
    max_in_flight: Limit = Field(
        default=math.inf, ge=1, description="Attempts at the upstream at once."
    )
    max_queue: Limit = Field(default=1000, ge=0, description="Calls that may wait for a slot.")
    max_wait: Seconds = Field(default=60.0, description="The longest wait for a slot, in seconds.")
    margin: FiniteSeconds = Field(
        default=0.005, description="Seconds added to each gap, because the network moves arrivals."
    )
    max_cooldown: Seconds = Field(
        default=60.0, description="The longest pause, in seconds, that a 429 can put on everybody."
    )
    store: Store = Field(
        default="memory",
        description="Where the schedule is kept: `memory`, or `redis://[USER@]HOST:PORT/DB`"
        " (`rediss://` for TLS) for replicas that share one limit.",
    )
    store_key: Text = Field(
        default=None,
        description="Names the limit in the store; replicas with the same share it. Unset: the"
        " upstream's host and port.",
    )
    store_password: Secret = Field(
        default=None, description="The store's password; a secret, so it has no flag."
    )
    store_password_file: Text = Field(
        default=None, description="A file that holds the store's password."
    )
    store_ca_file: Text = Field(
        default=None,
        description="A PEM file of the authorities that may sign the store's certificate.",
    )
    store_timeout: Timeout = Field(
        default=0.5,
        le=10,
        description="Seconds without an answer after which the store counts as lost, and this"
        " replica goes on with its share of the rate.",
    )
    store_required: bool = Field(
        default=True, description="Refuse to start while the store cannot be reached."
    )
    replicas: Whole = Field(
        default=1,
        ge=1,
        description="How many share the store at least; for the share of the rate while it cannot"
        " be reached and fewer were seen.",
    )

    @property
    def shared(self) -> bool:
        """Whether the schedule is kept outside of this process."""
        return self.store != "memory"

    def read_store_password(self) -> str | None:
        """The password in clear, from the setting or from the file; not for logs.

        Raises:
            ConfigError: the file cannot be read, or holds no password.
        """
        if self.store_password_file is None:
            return self.store_password.get_secret_value() if self.store_password else None
        return _read_secret("throttle.store_password_file", self.store_password_file)

    @model_validator(mode="after")
    def _burst_needs_rate(self) -> Self:
        _check_burst(self.rate, self.burst)
        return self

    @model_validator(mode="after")
    def _something_to_share(self) -> Self:
        if self.shared and self.rate == math.inf and not self.min_interval:
            allowed = "must be memory while throttle.rate is inf: there is no pace to share"
            raise Clash("store", self.store, allowed)
        if self.shared and not self.max_queue:
            allowed = "must be 1 or more with a shared store: calls wait while a slot is fetched"
            raise Clash("max_queue", self.max_queue, allowed)
        if self.store_password is not None and self.store_password_file is not None:
            allowed = "must not be set together with throttle.store_password"
            raise Clash("store_password_file", self.store_password_file, allowed)
        return self


class RetrySettings(Section):
    max_attempts: Whole = Field(
        default=3, ge=1, description="Attempts a call, the first one included."
    )
    initial_backoff: FiniteSeconds = Field(
        default=0.5,
        gt=0,
        description="The upper end of the first backoff, in seconds; each is drawn from 0 up.",
    )
    max_backoff: FiniteSeconds = Field(default=8.0, description="The longest backoff, in seconds.")
    backoff_multiplier: Number = Field(
        default=2.0,
        ge=1,
        allow_inf_nan=False,
        description="What each further backoff is multiplied by.",
    )
    budget: Number = Field(
        default=0.2,
        ge=0,
        allow_inf_nan=False,
        description="Retries as a share of calls, when the floor is used up.",
    )
    budget_floor: Number = Field(
        default=10.0,
        ge=0,
        allow_inf_nan=False,
        description="Retries a second that are allowed in any case.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_backoff < self.initial_backoff:
            allowed = f"must be at least retry.initial_backoff, {self.initial_backoff:g}"
            raise Clash("max_backoff", self.max_backoff, allowed)
        return self


class CallerLimits(Section):
    """What one caller may do."""

    rate: Rate = Field(default=math.inf, description="Calls a second of one caller.")
    min_interval: FiniteSeconds = Field(
        default=0.0, description="Seconds between two calls of one caller."
    )
    burst: Whole = Field(
        default=1,
        ge=1,
        description="Calls that may be made up at once after a pause (needs a rate).",
    )
    max_in_flight: Limit = Field(default=math.inf, ge=1, description="Calls of one caller at once.")
    max_queue: Limit = Field(
        default=math.inf, ge=0, description="Calls of one caller that may wait."
    )
    max_wait: Seconds = Field(
        default=math.inf,
        description="The longest wait, in seconds, for the caller's own allowance.",
    )
    weight: Number = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="The caller's share of the schedule, compared with others.",
    )
    max_priority: Whole = Field(
        default=0, ge=0, description="The highest priority at which a caller may go before others."
    )
    methods: Methods = Field(
        default=["Chat", "StreamChat", "Models", "Reflection"],
        description="What a caller may call, over HTTP too, where a streamed answer is StreamChat"
        " and GET /v1/models is Models; an empty list: nothing.",
    )

    @model_validator(mode="after")
    def _burst_needs_rate(self) -> Self:
        _check_burst(self.rate, self.burst)
        return self


class CallersSettings(CallerLimits):
    """Limits for each caller, and tables `[callers.NAME]` for callers with limits of their own."""

    # Extra keys are callers by name; what a table leaves out is as for everybody.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, CallerLimits] = Field(init=False)

    trusted_names: Words = Field(
        default=[],
        description="As trusted_peers, by the name in the peer's certificate (SPIFFE ID, DNS name"
        " or CN).",
    )
    trusted_peers: Networks = Field(
        default=[],
        description="Networks whose `x-forwarded-client-cert`, `x-headgate-caller` and forwarded"
        " addresses are believed.",
    )

    @property
    def overrides(self) -> dict[str, CallerLimits]:
        """The callers with limits of their own."""
        return self.__pydantic_extra__

    def of(self, caller: str) -> CallerLimits:
        """The limits of one caller, by its identity."""
        return self.overrides.get(caller, self)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        common = {name: data[name] for name in CallerLimits.model_fields if name in data}
        return {
            name: common | value if _names_caller(name, value) else value
            for name, value in data.items()
        }


class IdempotencySettings(Section):
    """How long, and how much, is kept of what calls with one idempotency key share."""

    linger: FiniteSeconds = Field(
        default=0.0,
        description="Seconds that a joined call goes on when all its callers have left.",
    )
    keep: FiniteSeconds = Field(
        default=60.0, description="Seconds that a finished answer is kept for its key."
    )
    max_bytes: Limit = Field(
        default=64 * MIB, ge=0, description="Memory for all finished answers that are kept."
    )
    max_stream_bytes: Limit = Field(
        default=4 * MIB,
        ge=1,
        description="Memory for one joined answer; a reader that far behind another is aborted.",
    )


class SystemPromptSettings(Section):
    text: Text = Field(default=None, description="The prompt that is put into conversations.")
    file: Text = Field(default=None, description="A UTF-8 file that holds the prompt.")
    mode: Literal["if_absent", "prepend", "replace", "none"] = Field(
        default="if_absent",
        description="When it is put in: `if_absent`, `prepend`, `replace`, `none`.",
    )
    allow_override: bool = Field(
        default=True, description="Whether a request may choose its own prompt."
    )

    def read_text(self) -> str:
        """The prompt, from the setting or from the file; empty for none.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.file is None:
            return self.text or ""
        return _read("system_prompt.file", self.file).removesuffix("\n")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.text is not None and self.file is not None:
            raise Clash("file", self.file, "must not be set together with system_prompt.text")
        return self


class ServerSettings(Section):
    max_message_bytes: Limit = Field(
        default=16 * MIB, ge=1, description="The largest request, over gRPC and over HTTP."
    )
    write_stall_timeout: Timeout = Field(
        default=60.0,
        description="Seconds after which a stream whose reader does not read is aborted.",
    )
    default_deadline: Timeout = Field(
        default=math.inf, description="Seconds that a call without a deadline of its own gets."
    )
    max_deadline: Timeout = Field(default=math.inf, description="The longest deadline, in seconds.")
    drain_delay: FiniteSeconds = Field(
        default=0.0, description="Seconds between NOT_SERVING and the end of new calls, at a stop."
    )
    grace: Seconds = Field(
        default=30.0, description="Seconds that running streams get to finish in."
    )
    workers: Whole = Field(
        default=1,
        ge=1,
        description="Processes that share the port and the limits of `throttle`; max_queue,"
        " `callers` and `retry` hold for each of them by itself.",
    )
    reflection: bool = Field(
        default=False, description="Serve gRPC reflection (on with `--sandbox`)."
    )
    health_listen: HttpListen = Field(
        default=None,
        description="A further address, HOST:PORT, for gRPC health checks alone, in plain text:"
        " for probes that have no certificate.",
    )
    handshake_timeout: Timeout = Field(
        default=10.0, description="Seconds in which a new connection must be set up, TLS included."
    )
    max_connection_idle: Timeout = Field(
        default=300.0, description="Seconds after which a connection without calls is closed."
    )
    max_connection_age: Timeout = Field(
        default=math.inf,
        description="Seconds after which gRPC clients are sent to connect anew (give or take a"
        " tenth), so that they find new replicas.",
    )
    max_connection_age_grace: Timeout = Field(
        default=math.inf,
        description="Seconds that calls on such a connection still get; they are cut after it.",
    )
    max_concurrent_streams: Whole = Field(
        default=1024,
        ge=1,
        description="Calls at once on one gRPC connection; more wait in the client.",
    )

    @property
    def grpc_max_message_bytes(self) -> int:
        """`max_message_bytes` as gRPC's channel arguments want it: an int32, or -1 for no limit."""
        return int(self.max_message_bytes) if self.max_message_bytes < 2**31 else -1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_deadline < self.default_deadline < math.inf:
            allowed = f"must be at most server.max_deadline, {self.max_deadline:g}"
            raise Clash("default_deadline", self.default_deadline, allowed)
        return self


class SandboxSettings(Section):
    token_interval: FiniteSeconds = Field(
        default=0.03, description="Seconds between two tokens of the sandbox's model."
    )


def _names_caller(name: str, value: object) -> bool:
    return isinstance(value, dict) and name not in CallersSettings.model_fields


def _check_burst(rate: float, burst: int) -> None:
    if burst > 1 and rate == math.inf:
        raise Clash("burst", burst, "must be 1 while rate is inf: a burst is saved up from a rate")


def _read_secret(setting: str, path: str) -> str:
    secret = _read(setting, path).strip()
    if not secret:
        raise ConfigError([f"{setting}: {path} is empty"])
    try:
        return check_secret(secret)
    except ValueError as error:
        raise ConfigError([f"{setting}: the secret in it {error}"]) from None


def _read(setting: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{setting}: {path} is not UTF-8 text"]) from None
