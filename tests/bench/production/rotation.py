"""Rows about certificates and tokens that are replaced while callers come and go."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from operator import le
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
from cryptography import x509

from bench.production.calls import (
    NO_RETRIES,
    OWN_CONNECTION,
    ask,
    chat_end,
    in_words,
    stream_end,
    stub,
)
from bench.production.gateway import UNLIMITED, gateway, upstream
from headgate.security.tokens import new_token
from support.certificates import Authority, Files
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bench.production.gateway import Gateway

CALLERS = 6
STANDING = 4  # streams that last from the first rotation to the last
BODY = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}


async def rotation(rounds: int) -> AsyncIterator[Row]:
    """By one process and by two workers; in each round every certificate and token is new."""
    for workers in (1, 2):
        with TemporaryDirectory() as folder:
            yield await _rotate(Path(folder), rounds, workers)


async def _rotate(folder: Path, rounds: int, workers: int) -> Row:
    rotating = Rotating(folder)
    flags = (
        *UNLIMITED,
        *("--http-listen", "127.0.0.1:0", "--log.access", "errors", "--auth.required", "true"),
        *("--tls.cert_file", str(rotating.files.certificate)),
        *("--tls.key_file", str(rotating.files.key)),
        *("--auth.tokens_file", str(rotating.tokens_file), "--server.workers", str(workers)),
    )
    async with upstream() as port, gateway(port, *flags) as running:
        callers = Callers(running, rotating)
        async with callers.at_work():
            await callers.look()
            for number in range(1, rounds + 1):
                rotating.add_tokens()
                await _read_again(running, "tokens", workers * (2 * number - 1))
                rotating.renew_certificate()
                await _read_again(running, "certificate", workers * number)
                await callers.look()
                old = rotating.use_new_tokens()
                await callers.all_anew()
                rotating.drop_old_tokens()
                await _read_again(running, "tokens", workers * 2 * number)
                callers.refused.update([await callers.ends_with(token) for token in old])
            await callers.all_anew()
            async with aiohttp.ClientSession() as client:
                await client.post(f"http://127.0.0.1:{port}/release")
    failed = callers.ends - Counter(OK=callers.ends["OK"])
    gone = {"UNAUTHENTICATED UNAUTHENTICATED": rounds * CALLERS}
    well = (
        not failed
        and callers.standing == {"OK": STANDING}
        and callers.refused == gone
        and len(callers.seen) == 2 * (rounds + 1)
    )
    who = "" if workers == 1 else f", {workers} workers"
    return Row(
        f"certificate and tokens replaced {rounds} times under load{who}",
        "0 failed calls",
        f"{sum(failed.values())} of {callers.ends.total():,} calls failed"
        + (f" ({in_words(failed)})" if failed else "")
        + f", each on a connection of its own; {STANDING} streams throughout:"
        f" {in_words(callers.standing)}; {len(callers.seen) // 2} certificates seen on both faces;"
        f" tokens that had gone: {in_words(callers.refused)}",
        well,
    )


class Rotating:
    """What is replaced on disk.

    Attributes:
        files: the certificate and its key.
        tokens: what each caller uses now.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self.files = Files(folder, self.authority.server())
        self.tokens_file = folder / "tokens"
        self._lines: list[list[str]] = [[] for _ in range(CALLERS)]
        self._new: list[str] = []
        self.add_tokens()
        self.tokens = self._new

    def add_tokens(self) -> None:
        """A further one for every caller; those that it has stay."""
        made = [new_token(f"caller-{number}") for number in range(CALLERS)]
        self._new = [token for token, _ in made]
        for lines, (_, line) in zip(self._lines, made, strict=True):
            lines.append(line)
        self._write()

    def use_new_tokens(self) -> list[str]:
        """The old ones."""
        old, self.tokens = self.tokens, self._new
        return old

    def drop_old_tokens(self) -> None:
        self._lines = [lines[-1:] for lines in self._lines]
        self._write()

    def renew_certificate(self) -> None:
        """In place, one file after the other, as a careless script does it."""
        self.files.put(self.authority.server())

    def _write(self) -> None:
        text = "".join(f"{line}\n" for lines in self._lines for line in lines)
        self.tokens_file.write_text(text, encoding="utf-8")


class Callers:
    """Callers that never rest, with a connection for each call, over both faces.

    Attributes:
        ends: of their calls.
        standing: ends of the streams that last.
        refused: ends of calls with tokens that have gone.
        seen: protocols and serial numbers of the certificates that they were shown.
    """

    def __init__(self, running: Gateway, rotating: Rotating) -> None:
        self.ends: Counter[str] = Counter()
        self.standing: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.seen: set[tuple[str, int]] = set()
        self._address, self._http = running.addresses["grpc"], running.addresses["http"]
        self._rotating = rotating
        pem = rotating.authority.pem
        self._credentials = grpc.ssl_channel_credentials(pem)
        self._authority = pem
        self._context = ssl.create_default_context(cadata=pem.decode())
        self._calls = [0] * CALLERS

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Until the block ends; the standing streams must be let go in it."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(STANDING):
                group.create_task(self._stand(number))
            for number in range(CALLERS):
                group.create_task(self._call(number, over))
            yield
            over.set()

    async def all_anew(self) -> None:
        """Until every caller has begun a call after now, and ended it."""
        due = [count + 2 for count in self._calls]
        while not all(map(le, due, self._calls)):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)

    async def look(self) -> None:
        """Note which certificate each face shows to a new connection."""
        for address, protocol in ((self._address, "h2"), (self._http, "http/1.1")):
            self.seen.add((protocol, await _shown(address, self._authority, protocol)))

    async def ends_with(self, token: str) -> str:
        """How a call with this token ends."""
        return await self._over_grpc(token, chat_end)

    async def _call(self, number: int, over: asyncio.Event) -> None:
        ways: tuple[Callable[[str], Awaitable[str]], ...] = (
            lambda token: self._over_grpc(token, chat_end),
            lambda token: self._over_grpc(token, stream_end),
            self._over_http,
        )
        while not over.is_set():
            way = ways[self._calls[number] % len(ways)]
            self.ends[await way(self._rotating.tokens[number])] += 1
            self._calls[number] += 1

    async def _stand(self, number: int) -> None:
        token = self._rotating.tokens[number]
        self.standing[await self._over_grpc(token, stream_end, "held")] += 1

    async def _over_grpc(self, token: str, end: Callable[..., Any], model: str = "ok") -> str:
        options = [OWN_CONNECTION, NO_RETRIES]
        async with grpc.aio.secure_channel(self._address, self._credentials, options) as channel:
            metadata = (("authorization", f"Bearer {token}"),)
            return str(await end(stub(channel), ask(model), metadata=metadata, timeout=600))

    async def _over_http(self, token: str) -> str:
        headers = {"authorization": f"Bearer {token}"}
        try:
            async with (
                aiohttp.ClientSession(f"https://{self._http}", headers=headers) as client,
                client.post("/api", json=BODY, ssl=self._context) as answer,
            ):
                await answer.read()
        except aiohttp.ClientError as error:
            return f"HTTP {type(error).__name__}"
        return "OK" if answer.status == 200 else f"HTTP {answer.status}"


async def _shown(address: str, authority: bytes, protocol: str) -> int:
    """The serial number of the server's certificate."""
    context = ssl.create_default_context(cadata=authority.decode())
    context.set_alpn_protocols([protocol])
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(certificate).serial_number


async def _read_again(running: Gateway, what: str, times: int) -> None:
    """Until the log says so, of all workers."""
    async with asyncio.timeout(60):
        while _count(running, what) < times:  # noqa: ASYNC110 - only the log tells of it
            await asyncio.sleep(0.05)


def _count(running: Gateway, what: str) -> int:
    return sum(line["what"] == what for line in running.events("read again"))
