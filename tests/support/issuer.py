"""An issuer of JSON Web Tokens for tests: keys, a JWKS, tokens right and wrong."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "headgate"


class Issuer:
    """Signs with one key; `turn` takes a new one.

    Attributes:
        key: the private key at work.
        kid: its id.
    """

    def __init__(self, kid: str = "one", *, kind: str = "RSA") -> None:
        self._kind = kind
        self._published: list[dict[str, Any]] = []
        self.turn(kid)

    def turn(self, kid: str, *, keep: bool = True) -> None:
        """Sign with a new key from here on; the JWKS keeps the old ones too."""
        self.kid = kid
        self.key: Any
        if self._kind == "RSA":
            self.key = rsa.generate_private_key(65537, 2048)
            public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())
            public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        published = self._published if keep else []
        self._published = [*published, {**public, "kid": kid, "use": "sig"}]

    @property
    def algorithm(self) -> str:
        return "RS256" if self._kind == "RSA" else "ES256"

    @property
    def jwks(self) -> bytes:
        return json.dumps({"keys": self._published}).encode()

    def token(
        self,
        sub: Any = "search",
        *,
        key: Any = None,
        algorithm: str | None = None,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token that holds, but for what is said; a claim of None is left out."""
        now = time.time()
        all_claims = {
            "sub": sub,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": now + 300,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in all_claims.items() if value is not None},
            self.key if key is None else key,
            algorithm or self.algorithm,
            headers={"kid": self.kid, **(headers or {})},
        )
