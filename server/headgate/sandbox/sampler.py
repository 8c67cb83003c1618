"""Chooses among phrases as a language model chooses among tokens: temperature, then top_p."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from headgate.sandbox.tokenizer import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class Token(NamedTuple):
    """One token of an answer.

    Attributes:
        text: never empty.
        rivals: what could have stood here with its natural logarithm, the likeliest first;
            None where the sandbox had no choice.
    """

    text: str
    rivals: tuple[tuple[str, float], ...] | None = None

    @property
    def logprob(self) -> float:
        """The model's own logarithm for this token, before temperature and top_p."""
        return dict(self.rivals)[self.text] if self.rivals else 0.0


class Sampler(NamedTuple):
    """Temperature 0 takes the likeliest phrase; higher evens the odds; top_p cuts off the tail."""

    temperature: float
    top_p: float
    random: Random

    def pick(self, options: Sequence[str]) -> int:
        """The index of one of the options, which stand in falling likelihood."""
        if self.temperature <= 0:
            return 0
        ranks = range(1, len(options) + 1)
        weights = [(1 / rank) ** (1 / self.temperature) for rank in ranks]
        return self.random.choices(range(len(weights)), _nucleus(weights, self.top_p))[0]

    def say(self, options: Sequence[str]) -> list[Token]:
        """The tokens of one of the options, with what could have stood in their places."""
        chosen = tokenize(options[self.pick(options)])
        if len(options) == 1:
            return [Token(text) for text in chosen]
        others = list(zip(map(tokenize, options), _likelihoods(options), strict=True))
        tokens = []
        for place, text in enumerate(chosen):
            rivals = _rivals(others, place)
            tokens.append(Token(text, rivals if len(rivals) > 1 else None))
            others = [(words, p) for words, p in others if words[place : place + 1] == [text]]
        return tokens


def _likelihoods(options: Sequence[str]) -> list[float]:
    """Zipf's law: the second is half as likely as the first, the third a third."""
    total = sum(1 / rank for rank in range(1, len(options) + 1))
    return [1 / rank / total for rank in range(1, len(options) + 1)]


def _nucleus(weights: Sequence[float], top_p: float) -> list[float]:
    """The falling weights, with 0 for all behind the first that together reach `top_p`."""
    enough = top_p * sum(weights)
    kept: list[float] = []
    reached = 0.0
    for weight in weights:
        kept.append(weight if not kept or reached < enough else 0.0)
        reached += weight
    return kept


def _rivals(
    others: Sequence[tuple[Sequence[str], float]], place: int
) -> tuple[tuple[str, float], ...]:
    """The possible tokens at a place, phrases that begin alike counted together."""
    likely: dict[str, float] = {}
    for words, p in others:
        if place < len(words):
            likely[words[place]] = likely.get(words[place], 0.0) + p
    total = sum(likely.values())
    ranked = sorted(likely.items(), key=lambda item: -item[1])
    return tuple((text, math.log(p / total)) for text, p in ranked)
