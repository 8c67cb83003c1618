"""The section `retry`: attempts, backoff, and what retries may add."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from headgate.config.section import Section
from headgate.config.values import Clash, FiniteSeconds, Number, Whole


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
