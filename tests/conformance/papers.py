"""What callers and gateways show each other: certificates and tokens, made anew for every run."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.certificates import Pair

_NAMED = re.compile(r"\{(token|file):([a-z_]+)\}")


class PapersError(Exception):
    """A text asks for a paper that there is not."""


class Papers:
    """Certificates as PEM files in a folder, and tokens.

    Texts name them: `{file:ca}` is a path, `{token:first}` a token.

    | file | what is in it |
    |---|---|
    | `ca` | the authority that signs gateways |
    | `callers_ca` | the authority that signs callers |
    | `stranger_ca` | an authority that nobody trusts |
    | `gateway`, `gateway_key` | a gateway's certificate, for 127.0.0.1 and localhost |
    | `named`, `named_key` | one for the name gate.example only |
    | `search`, `search_key` | a caller's certificate, whose name is `search` |
    | `stranger`, `stranger_key` | one with the same name, of the authority that nobody trusts |
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens: dict[str, str] = {}
        gateways, callers, stranger = Authority("gateways"), Authority("callers"), Authority("none")
        authorities = {"ca": gateways, "callers_ca": callers, "stranger_ca": stranger}
        for name, authority in authorities.items():
            self._path(name).write_bytes(authority.pem)
        self._put("gateway", gateways.server())
        self._put("named", gateways.sign("gate.example", dns=("gate.example",)))
        self._put("search", callers.sign("search", dns=("search",)))
        self._put("stranger", stranger.sign("search", dns=("search",)))

    def fill(self, text: str) -> str:
        """The text with paths and tokens in place of their names.

        Raises:
            PapersError: there is no such file.
        """
        return _NAMED.sub(lambda found: self._named(found[1], found[2]), text)

    def lines(self, tokens: Iterable[str]) -> str:
        """What a gateway's file of tokens holds when these count, each of a caller of its name."""
        return "".join(
            f"{name} sha256:{hashlib.sha256(self._token(name).encode()).hexdigest()}\n"
            for name in tokens
        )

    def _named(self, kind: str, name: str) -> str:
        if kind == "token":
            return self._token(name)
        path = self._path(name)
        if not path.is_file():
            known = sorted(each.stem for each in self._folder.glob("*.pem"))
            raise PapersError(f"there is no {{file:{name}}}; known: {', '.join(known)}")
        return str(path)

    def _token(self, name: str) -> str:
        # Letters and digits, so that on a command line nothing takes it for an option.
        return self._tokens.setdefault(name, secrets.token_hex(32))

    def _put(self, name: str, pair: Pair) -> None:
        self._path(name).write_bytes(pair.certificate)
        key = self._path(f"{name}_key")
        key.touch(mode=0o600)
        key.write_bytes(pair.key)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"
