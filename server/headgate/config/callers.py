"""The section `callers`: what one caller may do, and whose word on callers is believed."""

import math
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from headgate.config.section import Section
from headgate.config.throttle import check_burst
from headgate.config.values import (
    Gap,
    Limit,
    Methods,
    Number,
    Peers,
    Rate,
    Seconds,
    Whole,
    Words,
)


class CallerLimits(Section):
    """What one caller may do."""

    rate: Rate = Field(default=math.inf, description="Calls a second of one caller.")
    min_interval: Gap = Field(default=0.0, description="Seconds between two calls of one caller.")
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
        check_burst(self.rate, self.burst)
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
    trusted_peers: Peers = Field(
        default=[],
        description="Networks whose `x-forwarded-client-cert`, `x-headgate-caller` and forwarded"
        " addresses are believed; `unix`: peers on a Unix socket.",
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


def _names_caller(name: str, value: object) -> bool:
    return isinstance(value, dict) and name not in CallersSettings.model_fields
