"""Who a caller is, and what it may do: the order of what is believed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from headgate.config import CallersSettings
from headgate.errors import PermissionDenied, Unauthenticated
from headgate.identity import Identity
from headgate.security import Access, Peer
from headgate.security.tokens import Tokens, read_tokens
from headgate.security.web_tokens import KeySet, Rules, read_keys
from support.issuer import AUDIENCE, ISSUER, Issuer

if TYPE_CHECKING:
    from collections.abc import Mapping

STRANGER, PROXY = "192.0.2.7", "10.0.0.1"
ID = "spiffe://prod/search"
XFCC = {"x-forwarded-client-cert": "URI=spiffe://prod/seen"}
NAMED = {"x-headgate-caller": "named"}
FORWARDED = {"x-forwarded-for": "198.51.100.9"}
BEARER = {"authorization": "Bearer the-token"}
EVERYTHING = XFCC | NAMED | FORWARDED | BEARER


def tokens() -> Tokens:
    return read_tokens("tokened sha256:" + hashlib.sha256(b"the-token").hexdigest())


def access(*, required: bool = False, takes_tokens: bool = True, **callers: Any) -> Access:
    callers = {"trusted_peers": ["10.0.0.0/8"], "trusted_names": ["spiffe://prod/proxy"]} | callers
    settings = CallersSettings.model_validate(callers)
    return Access(
        settings,
        Identity(settings.trusted_peers),
        required=required,
        tokens=tokens if takes_tokens else None,
    )


@pytest.mark.parametrize(
    ("peer", "headers", "name"),
    [
        # A peer that speaks for itself is its certificate, whatever its headers say.
        (Peer(STRANGER, ID), EVERYTHING, ID),
        (Peer(None, ID), EVERYTHING, ID),
        # A stranger has its token and its address, and no header.
        (Peer(STRANGER), EVERYTHING, "tokened"),
        (Peer(STRANGER), XFCC | NAMED | FORWARDED, STRANGER),
        (Peer(None), XFCC | NAMED | FORWARDED, "local"),
        # A trusted peer speaks for others, in this order.
        (Peer(PROXY), EVERYTHING, "spiffe://prod/seen"),
        (Peer(PROXY), NAMED | FORWARDED | BEARER, "tokened"),
        (Peer(PROXY), NAMED | FORWARDED, "named"),
        (Peer(PROXY), FORWARDED, "198.51.100.9"),
        (Peer(PROXY), {}, PROXY),
        # So does one that is trusted by name, from wherever.
        (Peer(STRANGER, "spiffe://prod/proxy"), EVERYTHING, "spiffe://prod/seen"),
        (Peer(STRANGER, "spiffe://prod/proxy"), NAMED, "named"),
        (Peer(STRANGER, "spiffe://prod/proxy"), FORWARDED, "spiffe://prod/proxy"),
        (Peer(PROXY, ID), {}, ID),
        (Peer(PROXY, ID), XFCC, "spiffe://prod/seen"),
    ],
)
async def test_what_is_believed(peer: Peer, headers: Mapping[str, str], name: str) -> None:
    """Certificate, then what trusted peers saw, then tokens, then what trusted peers say."""
    assert await access().authenticate(peer, headers) == name


@pytest.mark.parametrize("header", ["bearer the-token", "BEARER  the-token ", "Bearer the-token"])
async def test_the_scheme_has_no_case(header: str) -> None:
    """RFC 9110, section 11.1."""
    assert await access().authenticate(Peer(STRANGER), {"authorization": header}) == "tokened"


async def test_where_no_tokens_count_they_mean_nothing() -> None:
    """SDKs always send one, and the published API asks for none."""
    free = access(takes_tokens=False)
    assert await free.authenticate(Peer(STRANGER), BEARER) == STRANGER


@pytest.mark.parametrize(
    ("peer", "headers", "why"),
    [
        (Peer(STRANGER), {}, "no credentials"),
        (Peer(STRANGER), XFCC | NAMED | FORWARDED, "no credentials"),
        (Peer(PROXY), FORWARDED, "no credentials"),
        (Peer(None), {}, "no credentials"),
        (Peer(STRANGER), {"authorization": "Basic dGhlLXRva2Vu"}, "no credentials"),
        (Peer(STRANGER), {"authorization": "Bearer"}, "no credentials"),
        (Peer(STRANGER), {"authorization": "Bearer guess"}, "unknown token"),
        (Peer(STRANGER), {"authorization": "Bearer a.b.c"}, "unknown token"),
        (Peer(STRANGER), {"authorization": "Bearer " + "x" * 8193}, "malformed token"),
        (Peer(PROXY), {"x-forwarded-client-cert": 'URI="'}, "malformed x-forwarded-client-cert"),
    ],
)
async def test_credentials_are_required(peer: Peer, headers: Mapping[str, str], why: str) -> None:
    """The caller hears the same of all; the log has the word for it, and no secret."""
    closed = access(required=True)
    with capture_logs() as logs, pytest.raises(Unauthenticated) as refused:
        await closed.authenticate(peer, headers)
    assert refused.value.message.startswith("no valid credentials; send ")
    assert [(log["event"], log["why"], log["times"]) for log in logs] == [("refused", why, 1)]
    assert "guess" not in str(logs)
    assert closed.refusals.counts == {why: 1}


async def test_a_wrong_token_is_refused_where_none_is_required() -> None:
    """Else its caller would find itself in a line that is not its own."""
    with pytest.raises(Unauthenticated):
        await access().authenticate(Peer(STRANGER), {"authorization": "Bearer guess"})


async def test_guesses_fill_no_log() -> None:
    """One line, however many there are."""
    closed = access(required=True)
    with capture_logs() as logs:
        for number in range(1000):
            headers = {"authorization": f"Bearer guess-{number}"}
            with pytest.raises(Unauthenticated):
                await closed.authenticate(Peer(STRANGER), headers)
    assert len(logs) == 1
    assert closed.refusals.counts == {"unknown token": 1000}


def test_each_caller_may_call_what_its_table_says() -> None:
    """Others what is said for everybody; here, nothing."""
    tables: dict[str, Any] = {ID: {"methods": ["StreamChat"]}, "free": {"methods": ["Chat"]}}
    gate = access(methods=[], **tables)
    gate.authorize(ID, "StreamChat")
    gate.authorize("free", "Chat")
    for name, method in ((ID, "Chat"), ("free", "StreamChat"), (STRANGER, "Chat")):
        with capture_logs() as logs, pytest.raises(PermissionDenied) as refused:
            gate.authorize(name, method)
        assert refused.value.message == f"this caller may not call {method} (callers.methods)"
        assert logs[0]["caller"] == name
    for method in ("Chat", "StreamChat", "Models", "Reflection"):
        access().authorize("anybody", method)


class Source:
    """Keys that have turned since they were read."""

    def __init__(self, old: Issuer, new: Issuer, *, too_early: bool = False) -> None:
        self._old, self._new, self._too_early = read_keys(old.jwks), read_keys(new.jwks), too_early
        self.asked = 0

    def keys(self) -> KeySet:
        return self._old

    async def newer(self) -> KeySet | None:
        self.asked += 1
        return None if self._too_early else self._new


def web_access(source: Source, *, with_tokens: bool = False) -> Access:
    rules = Rules(algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
    return Access(
        CallersSettings(),
        Identity(),
        tokens=tokens if with_tokens else None,
        web_tokens=(rules, source),
    )


async def test_a_token_of_a_new_key_makes_the_keys_newer() -> None:
    """The issuer has turned its key, and no call is lost; a known key asks for nothing."""
    old, new = Issuer("one", kind="EC"), Issuer("two", kind="EC")
    source = Source(old, new)
    gate = web_access(source, with_tokens=True)
    for issuer, asked in ((old, 0), (new, 1)):
        headers = {"authorization": f"Bearer {issuer.token('shop')}"}
        assert await gate.authenticate(Peer(STRANGER), headers) == "shop"
        assert source.asked == asked
    assert await gate.authenticate(Peer(STRANGER), BEARER) == "tokened"


@pytest.mark.parametrize("too_early", [False, True])
async def test_a_token_of_no_known_key_is_refused(too_early: bool) -> None:
    """Whether or not the keys could be looked at again."""
    issuer, stranger = Issuer("one", kind="EC"), Issuer("three", kind="EC")
    gate = web_access(Source(issuer, issuer, too_early=too_early))
    headers = {"authorization": f"Bearer {stranger.token()}"}
    with pytest.raises(Unauthenticated):
        await gate.authenticate(Peer(STRANGER), headers)
    assert gate.refusals.counts == {"unknown key": 1}
    with pytest.raises(Unauthenticated):
        await gate.authenticate(Peer(STRANGER), BEARER)
