"""What the faces ask: who is calling, and may they.

The caller's name is its line in the queue and its allowance, so nobody may choose it freely:
1. the certificate of a peer that speaks for itself;
2. of a trusted peer: the certificate that it saw (`x-forwarded-client-cert`);
3. a bearer token: one of the file, or a JSON Web Token;
4. of a trusted peer: the name that it states (`x-headgate-caller`), or its own certificate;
5. else, unless credentials are required, the address.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from headgate.errors import PermissionDenied, Unauthenticated
from headgate.identity import address_name, stated_name
from headgate.security.forwarded import CERTIFICATE_HEADER, forwarded_name
from headgate.security.peer import Rejected
from headgate.security.refusals import Refusals
from headgate.security.verified import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headgate.config import CallersSettings
    from headgate.identity import Identity
    from headgate.security.key_ring import KeySource
    from headgate.security.peer import Peer
    from headgate.security.tokens import Tokens
    from headgate.security.web_tokens import Key, Rules

MAX_TOKEN = 8192
# The same for whatever is wrong with them: a guess learns nothing from it.
_NO_CREDENTIALS = "no valid credentials; send `authorization: Bearer TOKEN` or a client certificate"
_log = structlog.get_logger("headgate")


class Access:
    """Names callers, and refuses those who may not do what they ask.

    Args:
        settings: who is trusted, and what each caller may call.
        identity: names callers by address.
        required: refuse callers of whom only the address is known.
        tokens: the tokens at work, if there are any.
        web_tokens: the rules for JSON Web Tokens and the keys to check them with, if they count.

    Attributes:
        refusals: counted by reason.
    """

    def __init__(
        self,
        settings: CallersSettings,
        identity: Identity,
        *,
        required: bool = False,
        tokens: Callable[[], Tokens] | None = None,
        web_tokens: tuple[Rules, KeySource] | None = None,
    ) -> None:
        self.change(settings, identity)
        self._required = required
        self._tokens = tokens
        self._web_tokens = web_tokens
        self._verified = Verified()
        self.refusals = Refusals()

    def change(self, settings: CallersSettings, identity: Identity) -> None:
        """Others are trusted, and callers may call something else, from now on."""
        self._settings = settings
        self._identity = identity
        self._trusted = frozenset(settings.trusted_names)

    async def authenticate(self, peer: Peer, headers: Mapping[str, str]) -> str:
        """The caller's identity.

        Args:
            peer: as the sockets tell it.
            headers: request metadata with lower-case names.

        Raises:
            Unauthenticated: wrong credentials, or none where they are required.
        """
        try:
            return await self._named(peer, headers)
        except Rejected as rejected:
            self._note(address_name(peer.address), rejected.why)
            raise Unauthenticated(_NO_CREDENTIALS) from None

    def authorize(self, caller: str, method: str) -> None:
        """Let a caller do what it asks.

        Args:
            caller: by its identity.
            method: `Chat`, `StreamChat`, `Models` or `Reflection`.

        Raises:
            PermissionDenied: `callers.methods` of this caller does not name it.
        """
        if method not in self._settings.of(caller).methods:
            self._note(caller, "method not allowed")
            raise PermissionDenied(f"this caller may not call {method} (callers.methods)")

    async def _named(self, peer: Peer, headers: Mapping[str, str]) -> str:
        trusted = peer.certificate in self._trusted or self._identity.trusts(peer.address)
        if peer.certificate and not trusted:
            return peer.certificate
        if trusted and (name := self._seen_by(headers)):
            return name
        if self._takes_tokens and (token := _bearer(headers)):
            return await self._by_token(token)
        if trusted and (name := stated_name(headers) or peer.certificate):
            return name
        if self._required:
            raise Rejected("no credentials")
        if trusted:
            return self._identity.forwarded(peer.address, headers)
        return address_name(peer.address)

    def _seen_by(self, headers: Mapping[str, str]) -> str:
        try:
            return forwarded_name(headers.get(CERTIFICATE_HEADER, ""), self._trusted)
        except ValueError:
            raise Rejected("malformed x-forwarded-client-cert") from None

    @property
    def _takes_tokens(self) -> bool:
        """Where none are taken, those that SDKs always send mean nothing."""
        return self._tokens is not None or self._web_tokens is not None

    async def _by_token(self, token: str) -> str:
        if len(token) > MAX_TOKEN:
            raise Rejected("malformed token")
        if self._web_tokens is not None and token.count(".") == 2:
            return await self._by_web_token(token, *self._web_tokens)
        if self._tokens is None:
            raise Rejected("unknown token")
        return self._tokens().caller(token, time.time())

    async def _by_web_token(self, token: str, rules: Rules, source: KeySource) -> str:
        keys = source.keys()
        if caller := self._verified.caller(token, keys, time.time()):
            return caller
        header = rules.header(token)
        key: Key | None = keys.find(header.kid, header.algorithm)
        if key is None and (newer := await source.newer()) is not None:
            key, keys = newer.find(header.kid, header.algorithm), newer
        if key is None:
            raise Rejected("unknown key")
        holder = rules.holder(token, header, key)
        self._verified.remember(token, keys, holder)
        return holder.caller

    def _note(self, who: str, why: str) -> None:
        if line := self.refusals.note(who, why, time.monotonic()):
            _log.warning("refused", caller=line[0], why=why, times=line[1])


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
