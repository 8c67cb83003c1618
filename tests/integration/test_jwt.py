"""JSON Web Tokens over the wire, with keys from a file and from an issuer's URL."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from headgate.config import StartError
from headgate.security import key_ring
from support.issuer import AUDIENCE, ISSUER, Issuer
from support.ports import closed_port
from support.raw_upstream import RawUpstream, answers, says
from support.secure import bearer, called, calling, noticed, posted, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headgate.gateway import Gateway
    from support.raw_upstream import Connection, Request

RULES: dict[str, Any] = {
    "jwt_issuer": ISSUER,
    "jwt_audience": AUDIENCE,
    "jwt_algorithms": ["ES256"],
}
ONLY: dict[str, Any] = {"methods": [], "search": {"methods": ["Chat"]}}


async def status(gateway: Gateway, token: str) -> str:
    """Over gRPC; over HTTP it is the same one."""
    async with calling(gateway, token=token) as caller:
        code, reason = await called(caller)
    http = {"OK": 200, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}[code]
    assert await posted(gateway, bearer(token)) == (http, reason)
    assert reason == ("" if code == "OK" else code)
    return code


@asynccontextmanager
async def with_file(folder: Path, issuer: Issuer, **auth: Any) -> AsyncIterator[Gateway]:
    file = folder / "jwks.json"
    file.write_bytes(issuer.jwks)
    rules = RULES | {"jwks_file": str(file), "required": True} | auth
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=rules, callers=ONLY) as gateway,
    ):
        yield gateway


async def test_the_subject_is_the_caller(tmp_path: Path) -> None:
    """With limits of its own, as any other caller."""
    issuer = Issuer(kind="EC")
    async with with_file(tmp_path, issuer) as gateway:
        assert await status(gateway, issuer.token("search")) == "OK"
        assert await status(gateway, issuer.token("another")) == "PERMISSION_DENIED"
    async with with_file(tmp_path, issuer, jwt_claim="azp", jwt_prefix="sea") as gateway:
        assert await status(gateway, issuer.token("another", azp="rch")) == "OK"


async def test_what_does_not_hold_does_not_come_in(tmp_path: Path) -> None:
    """No signature, a borrowed one, another audience or issuer, too late, too early, no key."""
    issuer = Issuer(kind="EC")
    stranger = Issuer(issuer.kid, kind="EC")
    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = {"sub": "search", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300}
    kid = {"kid": issuer.kid}
    tokens = {
        "none": jwt.encode(claims, None, "none", headers=kid),  # type: ignore[arg-type]
        # PyJWT itself refuses to sign with a public key, so the same bytes go without their frame.
        "shared": jwt.encode(claims, pem.replace(b"-----", b"====="), "HS256", headers=kid),
        "stranger": stranger.token(),
        "audience": issuer.token(aud="another"),
        "issuer": issuer.token(iss="https://another.example"),
        "late": issuer.token(exp=time.time() - 60),
        "early": issuer.token(nbf=time.time() + 60),
        "for ever": issuer.token(exp=None),
        "unknown": Issuer("unknown", kind="EC").token(),
        "algorithm": Issuer(issuer.kid).token(),
        "nonsense": "a.b.c",
    }
    async with with_file(tmp_path, issuer) as gateway:
        for token in tokens.values():
            assert await status(gateway, token) == "UNAUTHENTICATED"
        assert await status(gateway, issuer.token()) == "OK"
        assert gateway.security.access.refusals.counts == {
            "algorithm not allowed": 6,
            "wrong signature": 2,
            "token for another audience": 2,
            "token of another issuer": 2,
            "expired token": 2,
            "token not valid yet": 2,
            "token without a required claim": 2,
            "unknown key": 2,
            "malformed token": 2,
        }


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """The issuer's new key counts, and the one it has withdrawn does not."""
    issuer = Issuer(kind="EC")
    old = issuer.token()
    async with with_file(tmp_path, issuer) as gateway:
        issuer.turn("two", keep=False)
        assert await status(gateway, issuer.token()) == "UNAUTHENTICATED"
        (tmp_path / "jwks.json").write_bytes(issuer.jwks)
        await noticed(gateway.security)
        assert await status(gateway, issuer.token()) == "OK"
        assert await status(gateway, old) == "UNAUTHENTICATED"
        (tmp_path / "jwks.json").write_text("broken")
        await noticed(gateway.security)
        assert await status(gateway, issuer.token()) == "OK"


class KeySite:
    """An issuer's site; `fails` makes it answer 503."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.fails = False

    async def __call__(self, request: Request, connection: Connection) -> None:
        code = "503 Service Unavailable" if self.fails else "200 OK"
        await answers(self.issuer.jwks, status=code)(request, connection)


async def test_a_token_of_a_new_key_is_no_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are fetched while it waits; a thousand unknown ones fetch them no more often."""
    monkeypatch.setattr(key_ring, "MIN_INTERVAL", 0.0)
    issuer = Issuer(kind="EC")
    site = KeySite(issuer)
    async with RawUpstream(site) as keys, RawUpstream(says("Hello")) as upstream:
        auth = RULES | {"jwks_url": f"http://127.0.0.1:{keys.port}/keys", "required": True}
        async with running(upstream.url, auth=auth, callers=ONLY) as gateway:
            assert await status(gateway, issuer.token()) == "OK"
            assert [request.path for request in keys.requests] == ["/keys"]
            issuer.turn("two")
            first = await asyncio.gather(*(status(gateway, issuer.token()) for _ in range(5)))
            assert set(first) == {"OK"}
            asked = len(keys.requests)

            site.fails = True
            stranger = Issuer("three", kind="EC").token()
            assert await status(gateway, stranger) == "UNAUTHENTICATED"
            assert len(keys.requests) > asked
            assert await status(gateway, issuer.token()) == "OK"

            monkeypatch.setattr(key_ring, "MIN_INTERVAL", 1000.0)
            asked = len(keys.requests)
            for _ in range(20):
                assert await status(gateway, stranger) == "UNAUTHENTICATED"
            assert len(keys.requests) == asked


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (answers(b"{}", status="503 Service Unavailable"), "the answer was status 503"),
        (answers(b"", status="302 Found", headers=["Location: /x"]), "the answer was status 302"),
        (answers(b"<html>"), "the answer is no JSON"),
        (answers(b" " * (1024 * 1024 + 1)), "the answer is larger than 1048576 bytes"),
    ],
)
async def test_without_keys_there_is_no_start(reply: Any, line: str) -> None:
    """One line says why."""
    async with RawUpstream(reply) as keys:
        auth = RULES | {"jwks_url": f"http://127.0.0.1:{keys.port}/keys"}
        with pytest.raises(StartError) as raised:
            async with running("http://127.0.0.1:1/", auth=auth):
                pass
    assert str(raised.value) == f"cannot get the keys of auth.jwks_url: {line}"


async def test_keys_that_nobody_serves_say_where_they_were_looked_for() -> None:
    """And why: the host is what an operator has to look at."""
    with closed_port() as closed:
        where = f"127.0.0.1:{closed}"
        auth = RULES | {"jwks_url": f"http://{where}/keys?tenant=secret"}
        with pytest.raises(StartError) as raised:
            async with running("http://127.0.0.1:1/", auth=auth):
                pass
    assert str(raised.value) == (
        f"cannot get the keys of auth.jwks_url: no answer from {where} (connection refused)"
    )
