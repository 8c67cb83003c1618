"""The section `sandbox`: the embedded model."""

from pydantic import Field

from headgate.config.section import Section
from headgate.config.values import FiniteSeconds


class SandboxSettings(Section):
    token_interval: FiniteSeconds = Field(
        default=0.03, description="Seconds between two tokens of the sandbox's model."
    )
