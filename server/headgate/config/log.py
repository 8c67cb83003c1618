"""The section `log`: what this process writes to stderr."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headgate.config.section import Section


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The lowest level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="How lines look; auto: `console` on a terminal, else `json`, an object a line.",
    )
    access: Literal["on", "off", "errors"] = Field(
        default="on",
        description="Which calls leave a line when they end; errors: those that did not end OK.",
    )
    addresses: bool = Field(
        default=False,
        description="Write the addresses of callers without a name; they are personal data in many"
        " places. False: only whether they are of this machine, private or public.",
    )
    prompts: bool = Field(
        default=False,
        description="Write prompts and answers into the log, and into traces; for looking into a"
        " fault, with data that is nobody's.",
    )


def log_warnings(log: LogSettings) -> list[str]:
    """What the person who starts this must not overlook."""
    if not log.prompts:
        return []
    line = (
        "WARNING: prompts and answers are written into the log, and into traces (log.prompts):"
        " everybody who may read those reads what callers say; set log.prompts = false when you are"
        " done"
    )
    return [line]
