"""The section `throttle`: the schedule of attempts, and who shares it."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from headgate.config.files import read_secret
from headgate.config.section import Section
from headgate.config.values import (
    Clash,
    Gap,
    Limit,
    Rate,
    Seconds,
    Secret,
    Store,
    Text,
    Timeout,
    Whole,
)


class ThrottleSettings(Section):
    """The schedule of attempts; rate and min_interval are the published API's unless a profile
    says otherwise.
    """

    rate: Rate = Field(default=2.0, description="Attempts a second, over all callers.")
    min_interval: Gap = Field(default=0.5, description="Seconds between two attempts.")
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
    margin: Gap = Field(
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
        return read_secret("throttle.store_password_file", self.store_password_file)

    @model_validator(mode="after")
    def _burst_needs_rate(self) -> Self:
        check_burst(self.rate, self.burst)
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


def check_burst(rate: float, burst: int) -> None:
    """Refuse a burst that no rate can save up.

    Raises:
        Clash: the burst is over 1 and the rate is without end.
    """
    if burst > 1 and rate == math.inf:
        raise Clash("burst", burst, "must be 1 while rate is inf: a burst is saved up from a rate")
