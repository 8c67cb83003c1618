"""Values that fit a JSON Schema (json-schema.org), made up from what the user said."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEEPEST = 8
_MOST_ITEMS = 20
_MOST_VALUES = 1_000
_LONGEST = 2_000
_PLACE = re.compile(r"\b(?:in|at|for|from|to|near|of)\s+((?:[A-ZÀ-ÝĀ-Ž][\w'\u2019-]*\s?){1,3})")
_FORMATS = {
    "date-time": "2026-01-01T12:00:00Z",
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "email": "sandbox@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


class Hints(NamedTuple):
    """What the user said that a value may be made of."""

    text: str
    place: str = ""
    numbers: Sequence[float] = ()

    @classmethod
    def of(cls, question: str) -> Hints:
        """The hints in a question."""
        place = _PLACE.search(question)
        numbers = [float(number) for number in re.findall(r"-?\b\d{1,12}(?:\.\d{1,6})?", question)]
        return cls(question, place[1].strip() if place else "", numbers)


def parse_schema(raw: msgspec.Raw | msgspec.UnsetType) -> dict[str, Any]:
    """The schema as an object; anything else asks for nothing and gives an empty one."""
    try:
        schema = msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return schema if isinstance(schema, dict) else {}


def fill(schema: dict[str, Any], hints: Hints) -> Any:
    """A value for the schema; of what it does not understand it takes no notice."""
    return _Filler(schema, hints).value(schema, "", 0)


class _Filler:
    def __init__(self, root: dict[str, Any], hints: Hints) -> None:
        self._root = root
        self._hints = hints
        self._made = 0

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """A value for one place of the schema; `name` is the property that it stands under."""
        self._made += 1
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._one_of(schema["enum"])
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0] if kind else "null"
        make = getattr(self, f"_{kind}", None) if str(kind) in _KINDS else None
        return make(schema, name, depth) if make else None

    def _resolved(self, schema: Any, depth: int) -> dict[str, Any]:
        """Follows `$ref` inside the document, and takes the first of several shapes."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, dict) or depth > _DEEPEST:
                return {"type": "null"}
            shapes = next((schema[key] for key in _SHAPES if schema.get(key)), None)
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._at(reference)
            elif isinstance(shapes, list):
                schema = shapes[0]
            else:
                return schema
        return {"type": "null"}

    def _at(self, reference: str) -> Any:
        place: Any = self._root
        for key in reference.removeprefix("#").split("/")[1:]:
            place = place.get(key) if isinstance(place, dict) else None
        return place

    def _one_of(self, values: list[Any]) -> Any:
        said = self._hints.text.casefold()
        named = (value for value in values if isinstance(value, str) and value.casefold() in said)
        return next(named, values[0])

    def _object(self, schema: dict[str, Any], _name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        return {
            key: self.value(shape, key, depth + 1)
            for key, shape in properties.items()
            if depth < _DEEPEST and self._made < _MOST_VALUES
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = schema.get("minItems")
        many = min(max(1, least if isinstance(least, int) else 1), _MOST_ITEMS)
        if depth >= _DEEPEST or self._made >= _MOST_VALUES or "items" not in schema:
            return []
        return [self.value(schema["items"], name, depth + 1) for _ in range(many)]

    def _string(self, schema: dict[str, Any], name: str, _depth: int) -> str:
        if (example := _FORMATS.get(str(schema.get("format")))) is not None:
            return example
        place = _looks_like_place(name) and self._hints.place
        text = place or self._hints.text or name or "sandbox"
        longest = schema.get("maxLength")
        return text[: longest if isinstance(longest, int) and longest >= 0 else _LONGEST]

    def _integer(self, schema: dict[str, Any], name: str, depth: int) -> int:
        return math.ceil(self._number(schema, name, depth))

    def _number(self, schema: dict[str, Any], _name: str, _depth: int) -> float:
        low, high = schema.get("minimum"), schema.get("maximum")
        number = self._hints.numbers[0] if self._hints.numbers else 1.0
        if isinstance(low, int | float):
            number = max(number, low)
        if isinstance(high, int | float):
            number = min(number, high)
        return int(number) if number == int(number) else number

    def _boolean(self, _schema: dict[str, Any], _name: str, _depth: int) -> bool:
        return True

    def _null(self, _schema: dict[str, Any], _name: str, _depth: int) -> None:
        return None


_KINDS = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_SHAPES = ("anyOf", "oneOf", "allOf")


def _looks_like_place(name: str) -> bool:
    return any(word in name.lower() for word in ("city", "place", "location", "country", "town"))
