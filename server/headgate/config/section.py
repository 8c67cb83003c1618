"""What every section of the configuration is, and which settings are secrets."""

from pydantic import BaseModel, ConfigDict

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
# Of these URLs the query is never shown.
SECRET_QUERIES = frozenset({"upstream.url"})


class Section(BaseModel):
    """Frozen: a running server's settings do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
