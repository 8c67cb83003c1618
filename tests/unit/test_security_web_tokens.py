"""JSON Web Tokens: which hold, and everything that makes one not hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.security.peer import Rejected
from headgate.security.verified import Holder, Verified
from headgate.security.web_tokens import KeySet, Rules, read_keys
from support.issuer import AUDIENCE, ISSUER, Issuer

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def rsa_issuer() -> Issuer:
    return Issuer()


@cache
def ec_issuer() -> Issuer:
    return Issuer("two", kind="EC")


def rules(**changes: Any) -> Rules:
    given = {"algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE}
    return Rules(**(given | changes))


def caller(token: str, rules: Rules, keys: KeySet) -> str:
    header = rules.header(token)
    key = keys.find(header.kid, header.algorithm)
    if key is None:
        raise Rejected("unknown key")
    return rules.holder(token, header, key).caller


def why(token: str, issuer: Issuer | None = None, **changes: Any) -> str:
    with pytest.raises(Rejected) as rejected:
        caller(token, rules(**changes), read_keys((issuer or rsa_issuer()).jwks))
    return rejected.value.why


@pytest.mark.parametrize("issuer", [rsa_issuer, ec_issuer])
def test_a_token_names_its_caller(issuer: Callable[[], Issuer]) -> None:
    """By `sub`, or by the claim and behind the prefix that are set."""
    signs = issuer()
    keys = read_keys(signs.jwks)
    mine = rules(algorithms=[signs.algorithm])
    assert caller(signs.token("search"), mine, keys) == "search"
    assert caller(signs.token(aud=["other", AUDIENCE]), mine, keys) == "search"
    named = rules(algorithms=[signs.algorithm], claim="azp", prefix="jwt:")
    assert caller(signs.token(sub=7, azp="shop"), named, keys) == "jwt:shop"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": time.time() - 60}, "expired token"),
        ({"nbf": time.time() + 3600}, "token not valid yet"),
        ({"aud": "another"}, "token for another audience"),
        ({"iss": "https://another.example"}, "token of another issuer"),
        ({"exp": None}, "token without a required claim"),
        ({"iss": None}, "token without a required claim"),
        ({"aud": None}, "token without a required claim"),
        ({"sub": None}, "token without a required claim"),
        ({"sub": ""}, "token without a usable name"),
        ({"sub": ["search"]}, "token without a usable name"),
        ({"sub": "10.0.0.7"}, "token without a usable name"),
        ({"sub": "x" * 513}, "token without a usable name"),
        ({"exp": "soon"}, "malformed token"),
        ({"headers": {"kid": "another"}}, "unknown key"),
        ({"headers": {"kid": 7}}, "malformed token"),
        ({"headers": {"crit": ["b64"]}}, "malformed token"),
        ({"algorithm": "RS512"}, "algorithm not allowed"),
    ],
)
def test_a_token_that_does_not_hold(changes: dict[str, Any], reason: str) -> None:
    """Each has its own word for the log; the caller hears none of them."""
    if changes.get("headers", {}).get("kid") == 7:
        token = forged({"alg": "RS256", "kid": 7}, b"x")
    else:
        token = rsa_issuer().token(**changes)
    assert why(token) == reason


def test_clocks_may_be_apart_by_the_leeway() -> None:
    """And by no more."""
    keys = read_keys(rsa_issuer().jwks)
    late = rsa_issuer().token(exp=time.time() - 20)
    early = rsa_issuer().token(nbf=time.time() + 20)
    assert [caller(token, rules(), keys) for token in (late, early)] == ["search", "search"]
    assert why(late, leeway=10) == "expired token"


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: dict[str, Any], secret: bytes | None) -> str:
    claims = {"sub": "boss", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300}
    text = f"{part(header)}.{part(claims)}"
    signature = b"" if secret is None else hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{part(signature)}"


def test_no_signature_is_no_signature() -> None:
    """`alg: none`, in any spelling."""
    for word in ("none", "None", "NONE", "", None):
        assert why(forged({"alg": word, "kid": "one"}, None)) in {
            "algorithm not allowed",
            "malformed token",
        }


def test_a_public_key_is_no_shared_secret() -> None:
    """HS256 with the RSA key's own text, the classic forgery."""
    pem = (
        rsa_issuer()
        .key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for secret in (pem, pem.strip(), rsa_issuer().jwks):
        assert why(forged({"alg": "HS256", "kid": "one"}, secret)) == "algorithm not allowed"
        assert why(forged({"alg": "RS256", "kid": "one"}, secret)) == "wrong signature"


def test_a_key_is_for_its_own_kind_of_signature() -> None:
    """And for its own algorithm, where it names one."""
    both = json.loads(rsa_issuer().jwks)["keys"] + json.loads(ec_issuer().jwks)["keys"]
    keys = read_keys(json.dumps({"keys": both}))
    for kid, algorithm, found in (
        ("one", "RS256", True),
        ("one", "ES256", False),
        ("two", "ES256", True),
        ("two", "RS256", False),
        ("", "RS256", True),
        ("", "ES256", True),
        ("three", "ES256", False),
    ):
        assert (keys.find(kid, algorithm) is not None) is found
    both[0]["alg"] = "RS512"
    keys = read_keys(json.dumps({"keys": both}))
    assert keys.find("one", "RS256") is None
    assert keys.find("one", "RS512") is not None


def test_without_an_id_only_a_single_key_can_be_meant() -> None:
    """Trying one after the other would let an old key sign what names none."""
    issuer = Issuer()
    assert read_keys(issuer.jwks).find("", "RS256") is not None
    issuer.turn("two")
    assert read_keys(issuer.jwks).find("", "RS256") is None


def weak() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = rsa.generate_private_key(65537, 1024)
    found: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no json", "is no JSON"),
        ("[]", "is no JWKS"),
        ("{}", "is no JWKS"),
        ('{"keys": {}}', "is no JWKS"),
        ('{"keys": []}', "holds no public key"),
        ('{"keys": [7, {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-0"}]}', "holds no public key"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}', "holds no public key"),
        (json.dumps({"keys": [weak()]}), "holds no public key"),
    ],
)
def test_what_is_no_jwks(text: str, fault: str) -> None:
    """Shared secrets and weak keys do not count as keys at all."""
    with pytest.raises(ValueError, match=fault):
        read_keys(text)


def test_keys_for_other_uses_are_left_out() -> None:
    """Those to encrypt with, and private ones, which should not be there."""
    (member,) = json.loads(rsa_issuer().jwks)["keys"]
    good = {**member, "kid": "good"}
    private = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_issuer().key, as_dict=True)
    keys = read_keys(json.dumps({"keys": [{**member, "use": "enc"}, private, good]}))
    assert repr(keys) == "<KeySet ['good']>"


@example("a.\udcff.c")  # an HTTP header's byte that is no text
@given(st.text() | st.binary().map(lambda data: f"{part(data)}.{part(data)}."))
def test_any_text_is_refused_in_the_same_way(text: str) -> None:
    """Never with another exception."""
    assert why(text) in {"malformed token", "algorithm not allowed"}


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_changed_token_does_not_hold(at: int, other: str) -> None:
    """Whichever character it is; the last one of a part may hold unused bits."""
    token = rsa_issuer().token()
    at %= len(token)
    changed = token[:at] + other + token[at + 1 :]
    if changed == token:
        return
    keys = read_keys(rsa_issuer().jwks)
    try:
        assert caller(changed, rules(), keys) == "search"
        assert jwt.decode(changed, options={"verify_signature": False}) == jwt.decode(
            token, options={"verify_signature": False}
        )
    except Rejected:
        return


def test_a_token_that_held_holds_until_it_ends_or_the_keys_change() -> None:
    """By the same keys only, and no longer than it says itself."""
    verified, keys = Verified(), read_keys(rsa_issuer().jwks)
    assert verified.caller("token", keys, now=0) is None
    verified.remember("token", keys, Holder("search", until=100))
    assert verified.caller("token", keys, now=99.9) == "search"
    assert verified.caller("other", keys, now=99.9) is None
    assert verified.caller("token", keys, now=100) is None
    assert len(verified) == 0

    verified.remember("token", keys, Holder("search", until=200))
    turned = read_keys(rsa_issuer().jwks)
    assert verified.caller("token", turned, now=150) is None
    verified.remember("token", keys, Holder("search", until=200))
    assert verified.caller("token", turned, now=150) is None


def test_only_so_many_are_remembered() -> None:
    """The oldest goes, and has to be checked again."""
    verified, keys = Verified(room=2), read_keys(rsa_issuer().jwks)
    assert verified.caller("a", keys, now=0) is None
    for token in "abc":
        verified.remember(token, keys, Holder(token, until=1))
    assert [verified.caller(token, keys, now=0) for token in "abc"] == [None, "b", "c"]
    exp = int(time.time()) + 300
    token = rsa_issuer().token(exp=exp)
    found = rules(leeway=7).header(token)
    key = keys.find(found.kid, found.algorithm)
    assert key is not None
    assert rules(leeway=7).holder(token, found, key) == Holder("search", exp + 7)
