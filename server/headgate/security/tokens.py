"""Bearer tokens (RFC 6750) from a file that holds their hashes only.

One token on each line: `NAME sha256:HEX [EXPIRES]`. Several lines may have one name, so that a
new token is at work before the old one goes. A token is 256 random bits, so a plain hash of it
can be turned round by nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from headgate.security.peer import Rejected, is_name

if TYPE_CHECKING:
    from collections.abc import Iterable

# Says to a person, and to scanners for leaked secrets, what it is.
PREFIX = "headgate_"
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_LINE = "NAME sha256:HEX [EXPIRES]"


class Token(NamedTuple):
    """One line; `expires` in seconds since 1970."""

    caller: str
    digest: bytes
    expires: float


class Tokens:
    """The tokens that count."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        # Which bucket is looked into tells something of the hash, from which nothing follows.
        self._buckets: dict[bytes, list[Token]] = {}
        for token in tokens:
            self._buckets.setdefault(token.digest[:4], []).append(token)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __repr__(self) -> str:
        return f"<Tokens {len(self)}>"

    def caller(self, text: str, now: float) -> str:
        """Whose token it is.

        Args:
            text: the token itself.
            now: seconds since 1970.

        Raises:
            Rejected: nobody's, or not any more.
        """
        digest = hashlib.sha256(text.encode(errors="replace")).digest()
        rejected = "unknown token"
        for token in self._buckets.get(digest[:4], ()):
            if hmac.compare_digest(token.digest, digest):
                if now < token.expires:
                    return token.caller
                rejected = "expired token"
        raise Rejected(rejected)


def read_tokens(text: str) -> Tokens:
    """The tokens of a file; empty lines and lines that begin with `#` are for people.

    Raises:
        ValueError: a line that is none, by its number; it may be a token, so it is not quoted.
    """
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            tokens.append(_read(words, number))
    if not tokens:
        raise ValueError("holds no token; `headgate token NAME` makes one")
    return Tokens(tokens)


def _read(words: list[str], number: int) -> Token:
    found = _HASH.fullmatch(words[1]) if len(words) in {2, 3} else None
    if found is None:
        raise ValueError(f"line {number} is not {_LINE}; `headgate token NAME` writes such lines")
    if not is_name(words[0]):
        raise ValueError(f"line {number}: the name cannot be an address, `local` or longer")
    expires = math.inf
    if len(words) == 3:
        try:
            expires = read_time(words[2])
        except ValueError:
            raise ValueError(
                f"line {number}: EXPIRES must be a time such as 2027-01-31T00:00:00Z"
            ) from None
    return Token(words[0], bytes.fromhex(found[1]), expires)


def read_time(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; UTC where it names no offset.

    Raises:
        ValueError: it is none.
    """
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def new_token(caller: str, expires: float = math.inf) -> tuple[str, str]:
    """A random token, and the line that makes it count.

    Raises:
        ValueError: the name cannot be one.
    """
    if not is_name(caller) or len(caller.split()) != 1 or caller.startswith("#"):
        raise ValueError("must be one word, and neither an address nor `local`")
    text = PREFIX + secrets.token_urlsafe(32)
    words = [caller, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"]
    if expires < math.inf:
        words.append(datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z"))
    return text, " ".join(words)
