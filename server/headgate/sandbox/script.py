"""What the sandbox may say, written as text with choices.

`{Hello|Hi}` is a choice, the likeliest first; `{hero=Ada|Bram}` also keeps it under a name;
`$hero` puts in a named choice or a fact of the conversation.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.sandbox.sampler import Token
from headgate.sandbox.tokenizer import tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.sandbox.sampler import Sampler

_MARK = re.compile(r"\{(?:(\w+)=)?([^{}]*)\}|\$(\w+)")


def perform(script: str, facts: Mapping[str, str], sampler: Sampler) -> list[Token]:
    """The tokens of a script; facts are put in as they are, whatever signs they hold."""
    known = dict(facts)
    tokens: list[Token] = []
    space = ""
    for text, keep, options, name in _parts(script):
        if options:
            said = sampler.say([space + option for option in options])
            known[keep] = "".join(token.text for token in said).removeprefix(space)
            tokens += said
            space = ""
        else:
            # A space belongs to the word behind it, also when that is a choice or a fact.
            plain = space + (known[name] if name else text)
            space = " " if plain.endswith(" ") else ""
            tokens += map(Token, tokenize(plain.removesuffix(" ")))
    return [*tokens, Token(space)] if space else tokens


@lru_cache(maxsize=256)
def _parts(script: str) -> tuple[tuple[str, str, tuple[str, ...], str], ...]:
    """Plain text, then its choice (name, options), or the name of a fact."""
    parts, at = [], 0
    for mark in _MARK.finditer(script):
        keep, options, name = mark.groups()
        parts.append((script[at : mark.start()], "", (), ""))
        parts.append(("", keep or "", tuple(options.split("|")) if options else (), name or ""))
        at = mark.end()
    return (*parts, (script[at:], "", (), ""))
