"""An issuer's keys, kept fresh by fetching them."""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpx
import pytest
from structlog.testing import capture_logs

from headgate.config import StartError
from headgate.security.key_ring import MIN_INTERVAL, KeyRing, fetcher
from support.issuer import Issuer


class Site:
    """Serves a JWKS, or fails; can be held up.

    Attributes:
        fetches: how often it was asked.
        now: what the ring's clock shows.
    """

    def __init__(self) -> None:
        self.issuer = Issuer(kind="EC")
        self.fetches = 0
        self.now = 1000.0
        self.error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.asked = asyncio.Event()

    async def fetch(self) -> bytes:
        self.fetches += 1
        self.asked.set()
        await self.go_on.wait()
        if self.error:
            raise self.error
        return self.issuer.jwks

    def ring(self) -> KeyRing:
        return KeyRing(self.fetch, interval=300, clock=lambda: self.now)


async def started(site: Site) -> KeyRing:
    ring = site.ring()
    await ring.start()
    return ring


async def test_the_start_needs_the_keys() -> None:
    """Else every token would be refused, and nobody would know why."""
    site = Site()
    site.error = OSError("the answer was status 503")
    with pytest.raises(StartError) as raised:
        await site.ring().start()
    assert str(raised.value) == "cannot get the keys of auth.jwks_url: the answer was status 503"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "certificate verify failed"),
    ],
    ids=["refused", "no name", "not trusted"],
)
async def test_who_gives_no_keys_is_named_with_the_reason(
    fault: OSError, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of TLS and of name servers are not read as the system's."""

    def fails(*_: object, **__: object) -> None:
        raise httpx.ConnectError("All connection attempts failed") from fault

    monkeypatch.setattr(httpx.AsyncClient, "stream", fails)
    with pytest.raises(OSError, match=rf"^no answer from host:8 \({said}\)$"):
        await fetcher("http://host:8/keys", None)()


async def test_an_unknown_key_brings_the_next_fetch_forward() -> None:
    """Once: who asks again within the minimum gets no other fetch."""
    site = Site()
    ring = await started(site)
    assert await ring.newer() is None
    site.now += MIN_INTERVAL
    site.issuer.turn("two")
    newer = await ring.newer()
    assert newer is not None
    assert newer.find("two", "ES256") is not None
    assert await ring.newer() is None
    assert site.fetches == 2


async def test_all_who_ask_meanwhile_wait_for_one_fetch() -> None:
    """And one who leaves does not end it for the others."""
    site = Site()
    ring = await started(site)
    site.now += MIN_INTERVAL
    site.issuer.turn("two")
    site.go_on.clear()
    site.asked.clear()
    asking = [asyncio.create_task(ring.newer()) for _ in range(20)]
    await site.asked.wait()
    asking[0].cancel()
    site.go_on.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [repr(keys) for keys in found[1:]] == ["<KeySet ['one', 'two']>"] * 19
    assert site.fetches == 2


async def test_a_failed_fetch_leaves_the_old_keys_at_work() -> None:
    """With one line in the log; the next one may succeed."""
    site = Site()
    ring = await started(site)
    site.error = error = OSError("no answer in 5 s")
    site.now += 300
    with capture_logs() as logs:
        await ring.look()
    assert [(log["event"], log["why"]) for log in logs] == [
        ("the old ones stay at work", str(error))
    ]
    assert ring.keys().find("one", "ES256") is not None
    site.error = None
    site.issuer.turn("two", keep=False)
    site.now += 300
    await ring.look()
    assert ring.keys().find("one", "ES256") is None
    assert ring.keys().find("two", "ES256") is not None


async def test_keys_are_fetched_again_when_it_is_time() -> None:
    """So that a key that the issuer has withdrawn stops counting."""
    site = Site()
    ring = await started(site)
    for seconds, fetches in ((0, 1), (299, 1), (1, 2), (1, 2), (299, 3)):
        site.now += seconds
        await ring.look()
        assert site.fetches == fetches


async def test_closing_ends_a_fetch() -> None:
    """A stop waits for no issuer."""
    site = Site()
    ring = await started(site)
    site.now += MIN_INTERVAL
    site.go_on.clear()
    site.asked.clear()
    asking = asyncio.create_task(ring.newer())
    await site.asked.wait()
    await ring.aclose()
    assert await asking is not None
