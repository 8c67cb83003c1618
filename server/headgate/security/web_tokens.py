"""JSON Web Tokens (RFC 7519), checked as RFC 8725 advises, with keys from a JWKS (RFC 7517)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from headgate.security.peer import Rejected, is_name
from headgate.security.verified import Holder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MIN_RSA_BITS = 2048
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "expired token",
    jwt.ImmatureSignatureError: "token not valid yet",
    jwt.InvalidAudienceError: "token for another audience",
    jwt.InvalidIssuerError: "token of another issuer",
    jwt.InvalidSignatureError: "wrong signature",
    jwt.MissingRequiredClaimError: "token without a required claim",
}


class Key(NamedTuple):
    """A public key; `algorithm` is the only one it is for, empty for any that fits."""

    kid: str
    kind: str
    algorithm: str
    public: Any


class KeySet:
    """The public keys of an issuer."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<KeySet {[key.kid for key in self._keys]}>"

    def find(self, kid: str, algorithm: str) -> Key | None:
        """The key of this id for this algorithm; an empty id means the only key that fits."""
        fitting = [
            key
            for key in self._keys
            if key.kind == _KINDS[algorithm[:2]]
            and key.algorithm in {"", algorithm}
            and kid in {"", key.kid}
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and kid) else None


def read_keys(data: bytes | str) -> KeySet:
    """The keys of a JWKS that can check signatures; others in it are left out.

    Symmetric keys never count: what can check with them can sign with them.

    Raises:
        ValueError: it is no JWKS, or no key in it counts.
    """
    try:
        found = json.loads(data)
    except ValueError:
        raise ValueError("is no JSON") from None
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list):
        raise ValueError('is no JWKS: a JSON object with a list "keys"')  # noqa: TRY004 - as above
    keys = [key for member in members if (key := _read_key(member))]
    if not keys:
        raise ValueError("holds no public key that can check signatures")
    return KeySet(keys)


def _read_key(member: Any) -> Key | None:
    if not isinstance(member, dict) or member.get("use") == "enc":
        return None
    if member.get("kty") not in _KINDS.values() or "d" in member:
        return None  # symmetric, unknown, or a private key that should not be here
    try:
        read = jwt.PyJWK(member)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(read.key, RSAPublicKey) and read.key.key_size < MIN_RSA_BITS:
        return None
    return Key(str(member.get("kid", "")), member["kty"], str(member.get("alg", "")), read.key)


class Header(NamedTuple):
    """What the header of a token says of itself; none of it is proved."""

    algorithm: str
    kid: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a token must be.

    Attributes:
        algorithms: which signatures count; whatever a token says of itself, no other does.
        issuer: `iss`.
        audience: must be `aud`, or one of them.
        claim: names the caller.
        prefix: put in front of that name.
        leeway: seconds that clocks may be apart.
    """

    algorithms: Sequence[str]
    issuer: str
    audience: str
    claim: str = "sub"
    prefix: str = ""
    leeway: float = 30.0

    def header(self, token: str) -> Header:
        """The header, if such a token can count at all.

        Raises:
            Rejected: no token, or of an algorithm that is not allowed.
        """
        try:
            header: Mapping[str, Any] = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):  # what comes in an HTTP header need be no text
            raise Rejected("malformed token") from None
        algorithm, kid = str(header.get("alg")), header.get("kid", "")
        if algorithm not in self.algorithms or "crit" in header or not isinstance(kid, str):
            raise Rejected("algorithm not allowed")
        return Header(algorithm, kid)

    def holder(self, token: str, header: Header, key: Key) -> Holder:
        """Whose token it is, by the wall clock.

        Raises:
            Rejected: it does not hold.
        """
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[header.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway,
                options={"require": ["exp", "iss", "aud", self.claim], "verify_sub": False},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise Rejected(_REASONS.get(type(error), "malformed token")) from None
        name = claims[self.claim]
        if not isinstance(name, str) or not is_name(self.prefix + name):
            raise Rejected("token without a usable name")
        return Holder(self.prefix + name, int(claims["exp"]) + self.leeway)
