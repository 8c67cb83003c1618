"""The section `http`: the HTTP face."""

from pydantic import Field

from headgate.config.section import Section
from headgate.config.values import Origins


class HttpSettings(Section):
    cors_origins: Origins = Field(
        default=[], description="Web origins that browsers may call the HTTP face from; `*` is any."
    )
