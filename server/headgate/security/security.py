"""All of it, as the settings say, with the files and keys kept fresh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from headgate.config import ConfigError
from headgate.identity import Identity
from headgate.security.access import Access
from headgate.security.certificate import ServerCertificate
from headgate.security.files import FromFiles, read_bytes
from headgate.security.tokens import Tokens, read_tokens
from headgate.trust import authorities

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import AuthSettings, Settings
    from headgate.security.key_ring import KeyFile, KeyRing
    from headgate.security.web_tokens import Rules

# Files take effect after the second look at which they are new, so within twice this.
LOOK_EVERY = 2.0
_log = structlog.get_logger("headgate")


class Security:
    """The certificate, the tokens and the keys of one gateway, and the access they give.

    Args:
        settings: of the gateway.

    Attributes:
        certificate: of this server; None without TLS.
        access: what the faces ask.

    Raises:
        ConfigError: a file cannot be read or used.
    """

    def __init__(self, settings: Settings) -> None:
        auth = settings.auth
        self.certificate = ServerCertificate(settings.tls) if settings.tls.on else None
        self._tokens = _tokens(auth.tokens_file) if auth.tokens_file else None
        self._keys = _key_source(auth)
        self._ring = None if isinstance(self._keys, FromFiles) else self._keys
        self.access = Access(
            settings.callers,
            Identity(settings.callers.trusted_peers),
            required=auth.required,
            tokens=self._current_tokens if self._tokens else None,
            web_tokens=(_rules(auth), self._keys) if self._keys else None,
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Get the issuer's keys, and keep looking for changes from here on.

        Raises:
            StartError: the keys cannot be had.
        """
        if self._ring is not None:
            await self._ring.start()
        self._task = asyncio.create_task(self._keep_looking())

    async def look(self) -> None:
        """Look at all files once, and at the issuer's keys if it is time."""
        await asyncio.to_thread(self._look_at_files)
        if self._ring is not None:
            await self._ring.look()

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._ring is not None:
            await self._ring.aclose()

    def _current_tokens(self) -> Tokens:
        assert self._tokens is not None  # noqa: S101 - only handed out when there are some
        return self._tokens.value

    def _look_at_files(self) -> None:
        for source in (self.certificate, self._tokens, self._keys):
            if isinstance(source, FromFiles):
                source.look()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - whatever it was, the next look must come
                _log.exception("a look at the files failed")


def check_files(settings: Settings) -> None:
    """Read every file that a server with these settings would read, and keep nothing.

    Raises:
        ConfigError: with one line for each that cannot be used.
    """
    upstream, throttle = settings.upstream, settings.throttle
    checks: list[Callable[[], object]] = [
        lambda: upstream.ca_file and authorities("upstream.ca_file", upstream.ca_file),
        lambda: (
            throttle.store_ca_file and authorities("throttle.store_ca_file", throttle.store_ca_file)
        ),
        lambda: settings.tls.on and ServerCertificate(settings.tls),
        lambda: settings.auth.tokens_file and _tokens(settings.auth.tokens_file),
        lambda: _key_source(settings.auth),
    ]
    lines: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            lines.extend(error.lines)
    if lines:
        raise ConfigError(lines)


def _tokens(path: str) -> FromFiles[Tokens]:
    def load() -> Tokens:
        try:
            return read_tokens(read_bytes("auth.tokens_file", path).decode())
        except UnicodeDecodeError:
            raise ConfigError([f"auth.tokens_file: {path} is not UTF-8 text"]) from None
        except ValueError as error:
            raise ConfigError([f"auth.tokens_file: {path} {error}"]) from None

    return FromFiles([path], load, "tokens")


def _key_source(auth: AuthSettings) -> KeyFile | KeyRing | None:
    if not (auth.jwks_file or auth.jwks_url):
        return None
    from headgate.security.key_ring import KeyFile, KeyRing, fetcher  # noqa: PLC0415 - 9 MiB

    if auth.jwks_file:
        return KeyFile(auth.jwks_file)
    url = auth.jwks_url or ""
    return KeyRing(fetcher(url, auth.jwks_ca_file), interval=auth.jwks_interval)


def _rules(auth: AuthSettings) -> Rules:
    from headgate.security.web_tokens import Rules  # noqa: PLC0415 - as above

    return Rules(
        algorithms=tuple(auth.jwt_algorithms),
        issuer=auth.jwt_issuer or "",
        audience=auth.jwt_audience or "",
        claim=auth.jwt_claim,
        prefix=auth.jwt_prefix or "",
        leeway=auth.jwt_leeway,
    )
