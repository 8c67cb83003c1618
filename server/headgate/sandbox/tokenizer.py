"""The sandbox's tokens: a word with the space before it, a mark, a number, one CJK character."""

from __future__ import annotations

import re

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_TOKEN = re.compile(
    rf" ?[^\W\d_{_CJK}]{{1,8}}"  # letters; long words come in pieces of eight
    r"| ?\d{1,3}"
    r"| ?[^\w\s]"
    r"|\s+"
    r"|.",
    re.DOTALL,
)
# Counting stops being exact where nobody would notice, so that a huge prompt costs nothing.
_COUNTED_CHARACTERS = 65_536
_CHARACTERS_PER_TOKEN = 4


def tokenize(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens a text has; behind 65,536 characters, four characters count as one."""
    rest = len(text) - _COUNTED_CHARACTERS
    counted = len(tokenize(text[:_COUNTED_CHARACTERS]))
    return counted + max(0, -(-rest // _CHARACTERS_PER_TOKEN))
