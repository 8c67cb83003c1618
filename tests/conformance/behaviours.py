"""What the upstream can do: each behaviour can stand in the `model` of a request.

`answers.py`, `faults.py` and `writing.py` hold them. One that the caller should see as an answer
serves both methods, unless it is about the bytes of a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from support.raw_upstream import delta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Behaviour = TypeVar("Behaviour", bound="Callable[..., Awaitable[None]]")

WORDS = ["Hello", " there", ",", " friend", "!"]
BEHAVIOURS: dict[str, Callable[..., Awaitable[None]]] = {}


def behaviour(function: Behaviour) -> Behaviour:
    """Make a behaviour known under its name; its arguments are texts behind the Talk."""
    BEHAVIOURS[function.__name__] = function
    return function


def some(count: str) -> list[str]:
    """So many words."""
    return [WORDS[i % len(WORDS)] for i in range(int(count))]


def spoken(*words: str) -> list[dict[str, Any]]:
    """The role first, as OpenAI's servers do, then one event for each word."""
    return [delta(role="assistant", content=""), *(delta(word) for word in words)]
