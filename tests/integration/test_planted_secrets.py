"""Secrets that went in come out nowhere: not in the log, not in `check`, not in an answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from support.heard import Heard, heard_of
from support.issuer import AUDIENCE, ISSUER, Issuer
from support.raw_upstream import RawUpstream, answers, says
from support.secure import bearer

if TYPE_CHECKING:
    from pathlib import Path

    from support.raw_upstream import Connection, Request

WORDS = (
    *("API_KEY", "HEADER", "QUERY", "STORE_PASSWORD", "GOOD_TOKEN", "BAD_TOKEN", "FILE_TOKEN"),
    *("PROMPT", "ANSWER", "SYSTEM", "CERTIFICATE", "NO_HTTP"),
)
PLANTED = {word: f"PLANTED-{word}-{secrets.token_hex(8)}" for word in WORDS}


async def headgate(command: str, file: Path, *arguments: str) -> Heard:
    environment = {
        "HEADGATE_UPSTREAM__API_KEY": PLANTED["API_KEY"],
        "HEADGATE_UPSTREAM__HEADERS": json.dumps({"x-key": f"Token {PLANTED['HEADER']}"}),
        "HEADGATE_THROTTLE__STORE_PASSWORD": PLANTED["STORE_PASSWORD"],
    }
    return await heard_of(command, "--config", str(file), *arguments, environment=environment)


def written(folder: Path, upstream: RawUpstream, issuer: Issuer) -> Path:
    """The configuration, and the files that it names."""
    tokens, jwks, file = folder / "tokens", folder / "jwks.json", folder / "headgate.toml"
    digest = hashlib.sha256(PLANTED["GOOD_TOKEN"].encode()).hexdigest()
    tokens.write_text(f"search sha256:{digest}\n")
    jwks.write_bytes(issuer.jwks)
    file.write_text(
        f"""
        profile = "unlimited"
        listen = "127.0.0.1:0"
        http_listen = "127.0.0.1:0"
        metrics.listen = "127.0.0.1:0"
        upstream.url = "{upstream.url}?key={PLANTED["QUERY"]}"
        system_prompt.text = "{PLANTED["SYSTEM"]}"
        callers.trusted_peers = ["127.0.0.0/8"]
        retry.max_attempts = 1
        [auth]
        required = true
        tokens_file = "{tokens}"
        jwks_file = "{jwks}"
        jwt_issuer = "{ISSUER}"
        jwt_audience = "{AUDIENCE}"
        jwt_algorithms = ["ES256"]
        """
    )
    return file


async def quotes_the_key(request: Request, connection: Connection) -> None:
    """An upstream that refuses, and tells everything that it was sent."""
    bare = request.headers["x-key"].split()[-1]
    words = {"error": {"message": f"refused: {bare} {request.path} {request.headers}"}}
    await answers(json.dumps(words).encode(), status="401 Unauthorized")(request, connection)


class Caller:
    """Calls in every way that can go wrong, and keeps what it hears but the answers."""

    def __init__(self, heard: Heard) -> None:
        self._grpc = heard.address("grpc listening")
        self._http = heard.address("http listening")
        self._metrics = heard.address("metrics")
        self.heard: list[Any] = []

    async def call(self, token: str, **headers: str) -> int:
        body = {"messages": [{"role": "user", "content": PLANTED["PROMPT"]}], "stream": False}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession(f"http://{self._http}") as client,
            client.post("/api", json=body, headers=bearer(token) | headers) as reply,
        ):
            said = await reply.text()
            self.heard.append((reply.status, dict(reply.headers)))
            if reply.status != 200:
                self.heard.append(said)
            return reply.status

    async def call_grpc(self, token: str, data: bytes) -> None:
        async with grpc.aio.insecure_channel(self._grpc) as channel:
            call: Any = channel.unary_unary("/headgate.v1.ChatService/Chat")
            try:
                await call(data, metadata=tuple(bearer(token).items()), timeout=20)
            except grpc.aio.AioRpcError as error:
                self.heard += [error.details(), error.trailing_metadata()]

    async def look(self) -> None:
        """At what an operator sees."""
        async with aiohttp.ClientSession(f"http://{self._metrics}") as client:
            for path in ("/metrics", "/state"):
                async with client.get(path) as page:
                    self.heard.append(await page.text())
        assert "headgate_refusals_total" in str(self.heard)

    async def no_http(self) -> None:
        for address in (self._http, self._grpc):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"\x16\x03\x01 " + PLANTED["NO_HTTP"].encode() + b"\r\n\r\n")
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                self.heard.append(await reader.read())
            writer.close()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_secret_comes_out(tmp_path: Path, workers: str) -> None:
    """With an upstream that quotes them, callers that show them, and files that hold them."""
    issuer = Issuer(kind="EC")
    stranger = Issuer(kind="EC")
    tokens = [issuer.token(), issuer.token(aud="another"), issuer.token(exp=1), stranger.token()]
    answer = says(PLANTED["ANSWER"])
    async with RawUpstream(answer, quotes_the_key, quotes_the_key, answer) as up:
        file = written(tmp_path, up, issuer)
        heard = await headgate("serve", file, "--workers", workers)
        try:
            await heard.until(lambda text: "limits" in text)
            caller = Caller(heard)
            assert await caller.call(PLANTED["GOOD_TOKEN"]) == 200
            assert await caller.call(PLANTED["GOOD_TOKEN"]) == 502
            assert await caller.call(tokens[0]) == 502
            for token in (PLANTED["BAD_TOKEN"], *tokens[1:]):
                assert await caller.call(token) == 401
                await caller.call_grpc(token, b"")
            forwarded = f'Subject="{PLANTED["CERTIFICATE"]}'
            assert await caller.call("", x_forwarded_client_cert=forwarded) == 401
            await caller.call_grpc(PLANTED["GOOD_TOKEN"], PLANTED["PROMPT"].encode())
            await caller.no_http()
            (tmp_path / "tokens").write_text(f"search {PLANTED['FILE_TOKEN']}\n")
            await heard.until(lambda text: text.count("the old ones stay") == int(workers))
            assert await caller.call(PLANTED["GOOD_TOKEN"]) == 200
            await caller.look()
        finally:
            heard.process.send_signal(signal.SIGTERM)
            assert await heard.end() == 0
        sent = up.requests[0].headers
        refused = await headgate("check", file)
        assert await refused.end() == 2
        (tmp_path / "tokens").write_text(f"search sha256:{'0' * 64}\n")
        checked = await headgate("check", file)
        assert await checked.end() == 0
    # They did go in, and what is looked through did come out.
    assert sent["authorization"] == f"Bearer {PLANTED['API_KEY']}"
    assert sent["x-key"] == f"Token {PLANTED['HEADER']}"
    assert up.requests[0].path.endswith(f"?key={PLANTED['QUERY']}")
    assert heard.text.count('"refused"') >= 5
    assert PLANTED["SYSTEM"] in checked.text  # a setting, and no secret
    for word in (*PLANTED.values(), *tokens):
        if word != PLANTED["SYSTEM"]:
            assert word not in checked.text
        assert word not in heard.text + refused.text
        assert word not in str(caller.heard)
