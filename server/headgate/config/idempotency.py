"""The section `idempotency`: joined calls."""

from pydantic import Field

from headgate.config.section import MIB, Section
from headgate.config.values import FiniteSeconds, Limit


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
