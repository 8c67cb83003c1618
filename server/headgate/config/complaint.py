"""Turns pydantic's report into lines: the setting, its value, its source, what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.config.section import SECRET_QUERIES, SECRETS
from headgate.config.values import HIDDEN, Clash, conceal, conceal_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_ALLOWED = {
    "greater_than": "must be greater than {gt:.10g}",
    "greater_than_equal": "must be at least {ge:.10g}",
    "less_than_equal": "must be at most {le:.10g}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must have at least {min_length} of them",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "literal_error": "must be {expected}",
}
_LONGEST = 80


def complaints(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """One line for each fault; `origins` says by dotted name where a value came from."""
    return list(dict.fromkeys(_lines(error, origins)))


def show(name: str, value: object) -> str:
    """A value as a message may show it: short, on one line, without secrets."""
    if name in SECRETS:
        return HIDDEN
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = conceal(conceal_query(text) if name in SECRET_QUERIES else text)
    text = text[:_LONGEST] + "..." if len(text) > _LONGEST else text
    return text if text and text.isprintable() else repr(text)


def _lines(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for details in error.errors(include_url=False):
        clash = details.get("ctx", {}).get("error")
        if isinstance(clash, Clash):
            name = ".".join([*map(str, details["loc"]), clash.key])
            value, allowed = clash.value, str(clash)
        else:
            name = _name(details["loc"], origins)
            value, allowed = details["input"], _allowed(details)
            if name.startswith("callers.") and name.count(".") > 1 and name not in origins:
                # Inherited from [callers], whose own line says it.
                continue
        origin = origins.get(name, "a default")
        yield f"{name}: {show(name, value)} is not allowed (from {origin}); {allowed}"


def _name(loc: tuple[int | str, ...], origins: Mapping[str, str]) -> str:
    """The dotted name that a location belongs to; positions and union members are left out."""
    words = [str(part) for part in loc]
    ends = range(len(words), 0, -1)
    names = [".".join(words[:end]) for end in ends]
    return next((name for name in names if name in origins), names[0])


def _allowed(details: ErrorDetails) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    template = _ALLOWED.get(details["type"])
    return template.format(**context) if template else details["msg"].lower()
