"""The issuer's keys at work: from a file, or fetched and kept fresh."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Protocol

import httpx
import structlog

from headgate.config import ConfigError, StartError
from headgate.security.files import FromFiles, read_bytes
from headgate.security.web_tokens import KeySet, read_keys
from headgate.trust import authorities

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# An unknown key id makes us ask the issuer again, but no stranger makes us ask more often.
MIN_INTERVAL = 10.0
TIMEOUT = 5.0
MAX_BYTES = 1024 * 1024
_log = structlog.get_logger("headgate")


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    def keys(self) -> KeySet:
        """The keys at work."""

    async def newer(self) -> KeySet | None:
        """The keys after a look for newer ones; None when it is too early for one."""


class KeyFile(FromFiles[KeySet]):
    """Keys in a file.

    Raises:
        ConfigError: it cannot be read, or holds no key.
    """

    def __init__(self, path: str) -> None:
        super().__init__([path], lambda: _load(path), "keys")

    def keys(self) -> KeySet:
        return self.value

    async def newer(self) -> KeySet | None:
        return None


def _load(path: str) -> KeySet:
    try:
        return read_keys(read_bytes("auth.jwks_file", path))
    except ValueError as error:
        raise ConfigError([f"auth.jwks_file: {path} {error}"]) from None


class KeyRing:
    """Keys from a URL, fetched at the start, from time to time, and for an unknown key id.

    When a fetch fails the old keys stay.

    Args:
        fetch: gets the JWKS; raises OSError with the reason.
        interval: seconds between two fetches.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        interval: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._interval = interval
        self._clock = clock
        self._keys = KeySet([])
        self._tried = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    def keys(self) -> KeySet:
        return self._keys

    async def start(self) -> None:
        """Get the first keys.

        Raises:
            StartError: they cannot be had.
        """
        self._tried = self._clock()
        try:
            self._keys = await self._newest()
        except OSError as error:
            raise StartError(f"cannot get the keys of auth.jwks_url: {error}") from None

    async def newer(self) -> KeySet | None:
        """See `KeySource`. Everybody who asks meanwhile waits for the same fetch."""
        if self._refreshing is None:
            if self._clock() - self._tried < MIN_INTERVAL:
                return None
            self._begin()
        await self._finished()
        return self._keys

    async def look(self) -> None:
        """Fetch again if it is time."""
        if self._refreshing is None and self._clock() - self._tried >= self._interval:
            self._begin()
            await self._finished()

    async def aclose(self) -> None:
        """End what goes on."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    async def _newest(self) -> KeySet:
        data = await self._fetch()
        try:
            return read_keys(data)
        except ValueError as error:
            raise OSError(f"the answer {error}") from None

    def _begin(self) -> None:
        self._tried = self._clock()
        self._refreshing = asyncio.create_task(self._refresh())

    async def _finished(self) -> None:
        """Not cancelled together with the call that waits for it: others may wait too."""
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])

    async def _refresh(self) -> None:
        try:
            self._keys = await self._newest()
        except OSError as error:
            _log.warning("the old ones stay at work", what="keys", why=str(error))
        finally:
            self._refreshing = None


def fetcher(url: str, ca_file: str | None) -> Callable[[], Awaitable[bytes]]:
    """Gets a URL, without proxies or redirects.

    Args:
        url: of the JWKS.
        ca_file: of the authorities that may sign the server's certificate; None: the usual ones.

    Raises:
        ConfigError: `ca_file` cannot be used.
    """
    context = authorities("auth.jwks_ca_file", ca_file)
    where = httpx.URL(url).netloc.decode("ascii")

    async def fetch() -> bytes:
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                httpx.AsyncClient(verify=context, trust_env=False, timeout=TIMEOUT) as client,
                client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                return await _body(response)
        except TimeoutError:
            raise OSError(f"no answer from {where} in {TIMEOUT:g} s") from None
        except httpx.HTTPError as error:
            raise OSError(f"no answer from {where} ({_reason(error)})") from None

    return fetch


def _reason(error: httpx.HTTPError) -> str:
    """The system's word where it has one; httpx's own may be empty, or name the whole URL."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno is not None:
            # The numbers of TLS and of name servers are not the system's.
            foreign = isinstance(found, ssl.SSLError | socket.gaierror)
            return str(found.strerror if foreign else os.strerror(found.errno)).lower()
        found = found.__cause__ or found.__context__
    return type(error).__name__


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise OSError(f"the answer was status {response.status_code}")
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_BYTES:
            raise OSError(f"the answer is larger than {MAX_BYTES} bytes")
    return body
