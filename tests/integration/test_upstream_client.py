"""The HTTP client towards the upstream, over real sockets: connections, codings, TLS, proxies."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import zlib
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from headgate.config import UpstreamSettings
from headgate.http_upstream.transport import Transport
from support.gateway import Caller, ask, gateway, text, trailer
from support.ports import closed_port
from support.raw_upstream import (
    DONE,
    END,
    Connection,
    RawUpstream,
    Request,
    answers,
    chunked,
    completion,
    delta,
    event,
    finish,
    response,
    says,
    stream_head,
)
from support.scrape import scrape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

Code = grpc.StatusCode
ONCE = {"max_attempts": 1}
WHOLE = json.dumps(completion()).encode()


async def refusal(caller: Caller, **fields: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.chat(**fields)
    return caught.value


async def test_connections_are_kept_alive() -> None:
    """One after the other, whole answers and streams share one connection."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        for _ in range(5):
            await caller.chat()
            await caller.events()
    assert len(upstream.requests) == 10
    assert upstream.accepted == 1


async def test_a_stream_that_was_cut_is_not_reused() -> None:
    """A connection with half an answer on it is closed, and the next call gets a new one."""

    async def endless(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        await connection.until_gone()

    async with RawUpstream(endless, says("Hello")) as upstream, gateway(upstream.url) as caller:
        stream = caller.stub.StreamChat(ask())
        await stream.read()
        stream.cancel()
        await upstream.until(lambda: upstream.open == 0)
        answer = await caller.chat()
    assert answer.choices[0].message.content == "Hello"
    assert upstream.accepted == 2


async def test_idle_connections_that_the_upstream_closes() -> None:
    """Servers close what is idle; the next call opens a new connection and costs no attempt."""

    async def once(request: Request, connection: Connection) -> None:
        await says("Hello")(request, connection)
        connection.writer.close()

    async with RawUpstream(once) as upstream, gateway(upstream.url, retry=ONCE) as caller:
        for _ in range(5):
            answer = await caller.chat()
            assert answer.gateway.attempts == 1
            await upstream.until(lambda: upstream.open == 0)
    assert len(upstream.requests) == upstream.accepted == 5


async def test_a_connection_that_ends_at_the_gate_costs_nothing() -> None:
    """Nothing was written on it: a pause may be longer than the upstream keeps idle ones."""

    class Gate:
        asked = 0

        async def connected(self) -> bool:
            self.asked += 1
            if self.asked == 1:
                impatient.set()
                connector = transport._connector
                assert connector is not None
                while any(each.transport for each in connector._acquired):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            return self.asked > 1

        def written(self) -> None:
            pass

    impatient = asyncio.Event()
    accepted = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        if len(accepted) == 1:
            await impatient.wait()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response(WHOLE))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = Transport(UpstreamSettings(url=f"http://127.0.0.1:{port}/"))
    request = httpx.Request("POST", f"http://127.0.0.1:{port}/", extensions={"gate": Gate()})
    async with server:
        answer = await transport.handle_async_request(request)
        assert (answer.status_code, len(accepted)) == (200, 2)
        await answer.aclose()
        await transport.aclose()


async def test_two_hundred_streams_run_at_once() -> None:
    """No hidden limit on connections: every stream has its first delta before any ends."""
    count = 200
    go = asyncio.Event()

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        await go.wait()
        await connection.send(chunked(event(finish()) + DONE), END)

    async def follow(caller: Caller, begun: asyncio.Queue[None]) -> str:
        words = []
        async for received in caller.stub.StreamChat(ask(), timeout=30):
            words.append(received.delta.content)
            if received.delta.content:
                begun.put_nowait(None)
        return "".join(words)

    begun: asyncio.Queue[None] = asyncio.Queue()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        streams = [asyncio.create_task(follow(caller, begun)) for _ in range(count)]
        for _ in range(count):
            await begun.get()
        assert upstream.open == count
        go.set()
        assert await asyncio.gather(*streams) == ["a"] * count


WORDS = ["Hé", "llo ", "\u2028wörld", "\U0001f600"] * 5
STREAM = b"".join(event(delta(word)) for word in WORDS) + event(finish()) + DONE


def deflated(data: bytes) -> bytes:
    """RFC 9110 calls the zlib format "deflate"."""
    return zlib.compress(data)


def raw_deflated(data: bytes) -> bytes:
    """What some servers send instead: RFC 1951 without its wrapping."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("deflate", deflated),
    ("deflate", raw_deflated),
]


@pytest.mark.parametrize(("coding", "pack"), CODINGS, ids=["gzip", "zlib", "raw deflate"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_coded_streams_split_anywhere(
    coding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    """The text is the same however the packed bytes are cut into reads."""
    packed = pack(STREAM)
    pieces = [chunked(packed[i : i + size]) for i in range(0, len(packed), size)]

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(headers=[f"Content-Encoding: {coding}"]), *pieces, END)

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()
    assert text(events) == "".join(WORDS)
    assert upstream.requests[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(("coding", "pack"), CODINGS, ids=["gzip", "zlib", "raw deflate"])
async def test_coded_whole_answers(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """A unary answer may be packed too, under any spelling of the coding."""
    script = answers(pack(WHOLE), headers=[f"Content-Encoding: {coding.upper()}"])
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        answer = await caller.chat()
    assert answer.choices[0].message.content == "Hello"


async def test_each_packed_delta_goes_on_at_once() -> None:
    """A gzip stream that is flushed after every event is not held back to its end."""
    packer = zlib.compressobj(wbits=31)
    seen = asyncio.Queue[str]()

    def packed(data: bytes) -> bytes:
        return chunked(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(headers=["Content-Encoding: gzip"]))
        for word in "abc":
            await connection.send(packed(event(delta(word))))
            assert await seen.get() == word
        await connection.send(packed(event(finish()) + DONE), chunked(packer.flush()), END)

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        async for received in caller.stub.StreamChat(ask(), timeout=20):
            if received.delta.content:
                seen.put_nowait(received.delta.content)
    assert seen.empty()


@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_a_coding_that_nobody_asked_for(coding: str) -> None:
    """The caller hears its name; a refusal keeps its status, although its words are lost."""
    coded = [f"Content-Encoding: {coding}"]
    refused = answers(b"\x0b\x02", status="404 Not Found", headers=coded)
    async with (
        RawUpstream(answers(b"\x0b\x02", headers=coded), refused) as upstream,
        gateway(upstream.url, retry=ONCE) as caller,
    ):
        error, not_found = await refusal(caller), await refusal(caller)
    assert trailer(error, "headgate-reason") == "UPSTREAM_PROTOCOL"
    assert f"content encoding {coding}" in (error.details() or "")
    assert trailer(not_found, "headgate-reason") == "UPSTREAM_NOT_FOUND"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_refused(status: int) -> None:
    """A key must not be carried to where somebody else points: nothing is asked for there."""
    async with RawUpstream(says("Hello")) as elsewhere:
        script = answers(b"", status=f"{status} Moved", headers=[f"Location: {elsewhere.url}"])
        async with (
            RawUpstream(script) as upstream,
            gateway(upstream.url, upstream={"api_key": "sk-1"}) as caller,
        ):
            error = await refusal(caller)
        assert elsewhere.requests == []
    assert error.code() is Code.FAILED_PRECONDITION
    assert trailer(error, "headgate-reason") == "UPSTREAM_REJECTED"


async def test_api_key_and_headers() -> None:
    """As configured, on every request; a header of our own can be replaced."""
    configured = {
        "api_key": "sk-1",
        "headers": {"X-Org": "o-1", "User-Agent": "mine/1"},
    }
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, upstream=configured) as caller,
    ):
        await caller.chat()
        await caller.events()
    for request in upstream.requests:
        assert request.headers["authorization"] == "Bearer sk-1"
        assert request.headers["x-org"] == "o-1"
        assert request.headers["user-agent"] == "mine/1"


async def test_the_url_is_used_as_it_is() -> None:
    """Path and query of the setting arrive unchanged."""
    async with RawUpstream(says("Hello")) as upstream:
        path = "/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21&x=%20y"
        async with gateway(f"http://127.0.0.1:{upstream.port}{path}") as caller:
            await caller.chat()
    assert upstream.requests[0].path == path
    assert upstream.requests[0].headers["host"] == f"127.0.0.1:{upstream.port}"


async def test_cookies_are_not_kept() -> None:
    """What the upstream sets for one caller is not sent with another's request."""
    script = answers(WHOLE, headers=["Set-Cookie: who=ada; Path=/"])
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        await caller.chat()
        await caller.chat()
    assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]


# Only a proxy can know this host (RFC 2606).
UNKNOWN = "http://upstream.invalid/v1/chat/completions"
# The tests' own channel must not take the gateway's proxy.
DIRECT = [("grpc.enable_http_proxy", 0)]
PROXY_WORDS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a word about proxies."""
    for word in PROXY_WORDS:
        monkeypatch.delenv(word, raising=False)
        monkeypatch.delenv(word.upper(), raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    return monkeypatch


async def test_a_proxy_by_its_url(environment: pytest.MonkeyPatch) -> None:
    """The request goes to the proxy, in the absolute form, with the proxy's own password."""
    async with RawUpstream(says("Hello")) as proxy:
        url = f"http://ada:secret@127.0.0.1:{proxy.port}"
        async with gateway(UNKNOWN, upstream={"proxy": url}) as caller:
            answer = await caller.chat()
            assert text(await caller.events()) == "Hello"
    assert answer.choices[0].message.content == "Hello"
    assert proxy.requests[0].path == UNKNOWN
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic YWRhOnNlY3JldA=="
    assert environment is not None


@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize("word", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_a_proxy_from_the_environment_when_asked_for(
    environment: pytest.MonkeyPatch, word: str, scheme: str
) -> None:
    """`environment` obeys the usual variables."""
    async with RawUpstream(says("Hello")) as proxy:
        environment.setenv(word, f"{scheme}127.0.0.1:{proxy.port}")
        async with gateway(UNKNOWN, options=DIRECT, upstream={"proxy": "environment"}) as caller:
            answer = await caller.chat()
    assert answer.choices[0].message.content == "Hello"
    assert [request.path for request in proxy.requests] == [UNKNOWN]


async def test_no_proxy_is_obeyed(environment: pytest.MonkeyPatch) -> None:
    """An upstream that NO_PROXY names is reached without one."""
    async with RawUpstream(says("proxied")) as proxy, RawUpstream(says("direct")) as upstream:
        environment.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        environment.setenv("no_proxy", "localhost,127.0.0.1")
        options = {"proxy": "environment"}
        async with gateway(upstream.url, options=DIRECT, upstream=options) as caller:
            answer = await caller.chat()
    assert answer.choices[0].message.content == "direct"
    assert proxy.requests == []


async def test_the_environment_is_not_obeyed_unasked(environment: pytest.MonkeyPatch) -> None:
    """A variable that is meant for somebody else does not move the gateway's traffic."""
    async with RawUpstream(says("proxied")) as proxy, RawUpstream(says("direct")) as upstream:
        for word in PROXY_WORDS[:3]:
            environment.setenv(word, f"http://127.0.0.1:{proxy.port}")
        async with gateway(upstream.url, options=DIRECT) as caller:
            answer = await caller.chat()
    assert answer.choices[0].message.content == "direct"
    assert proxy.requests == []


async def test_a_password_file_is_never_read(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Obeying the environment's proxy is no leave to send what ~/.netrc holds."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    for key in (None, "sk-1"):
        options = {"proxy": "environment", "api_key": key}
        async with (
            RawUpstream(says("Hello")) as upstream,
            gateway(upstream.url, upstream=options) as caller,
        ):
            await caller.chat()
        assert upstream.requests[0].headers.get("authorization") == (key and "Bearer sk-1")


async def test_a_proxy_that_refuses(environment: pytest.MonkeyPatch) -> None:
    """Neither a dead proxy nor one that says no to CONNECT is a fault of the caller's."""
    async with RawUpstream(answers(b"", status="407 Proxy Authentication Required")) as proxy:
        options = {"proxy": f"http://127.0.0.1:{proxy.port}"}
        async with gateway("https://a.invalid/api", upstream=options, retry=ONCE) as caller:
            refused = await refusal(caller)
    with closed_port() as closed:
        options = {"proxy": f"http://127.0.0.1:{closed}"}
        async with gateway(UNKNOWN, upstream=options, retry=ONCE) as caller:
            dead = await refusal(caller)
    assert environment is not None
    for error in (refused, dead):
        assert error.code() is Code.UNAVAILABLE
        assert "proxy" in (error.details() or "")
    assert proxy.requests[0].method == "CONNECT"


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port that listens, but whose queue of connections is full: SYNs are not answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("method", ["Chat", "StreamChat"])
async def test_a_connection_that_does_not_come_up(method: str) -> None:
    """The connect timer ends it, under its own name, and it may be tried again."""
    with full_backlog() as port:
        options = {"connect_timeout": 0.2, "first_token_timeout": 30}
        url = f"http://127.0.0.1:{port}/api"
        async with gateway(url, upstream=options, retry=ONCE) as caller:
            if method == "Chat":
                error = await refusal(caller)
            else:
                _, error = await caller.interrupted()
    assert error.code() is Code.UNAVAILABLE
    assert trailer(error, "headgate-reason") == "UPSTREAM_TIMEOUT"
    assert "0.2 s (connect timeout)" in (error.details() or "")


async def test_who_is_cancelled_while_connecting_leaves_nothing() -> None:
    """Its place in flight is free again, long before the connect timer would end it."""
    sections: dict[str, Any] = {
        "upstream": {"connect_timeout": 600, "first_token_timeout": 600},
        "throttle": {"max_in_flight": 1},
        "metrics": {"listen": "127.0.0.1:0"},
    }
    with full_backlog() as port:
        async with gateway(f"http://127.0.0.1:{port}/api", **sections) as caller:
            for _ in range(2):
                stream = caller.stream()
                await until_in_flight(caller, 1)
                stream.cancel()
                await until_in_flight(caller, 0)


async def until_in_flight(caller: Caller, attempts: int) -> None:
    while (await scrape(caller.gateway.metrics_address)).total("headgate_in_flight") != attempts:
        pass


async def test_a_host_name_that_nobody_knows() -> None:
    """The caller hears of the name, not of a resolver's error."""
    async with gateway(UNKNOWN, retry=ONCE) as caller:
        error = await refusal(caller)
    assert error.code() is Code.UNAVAILABLE
    assert "host name was not found" in (error.details() or "")


async def test_the_first_token_timer() -> None:
    """It runs from the request to the first content; bytes without content do not stop it."""

    async def pings(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(b": ping\n\n"))
        await connection.until_gone()

    timers = {"first_token_timeout": 0.2}
    async with (
        RawUpstream(pings) as upstream,
        gateway(upstream.url, upstream=timers, retry=ONCE) as caller,
    ):
        _, error = await caller.interrupted()
    assert error.code() is Code.UNAVAILABLE
    assert "first token timeout" in (error.details() or "")


async def test_a_unary_upstream_may_be_silent_for_long() -> None:
    """Promise 10: Chat obeys the total timer only; a unary answer comes when it is whole."""
    asked = asyncio.Event()

    async def slow(_: Request, connection: Connection) -> None:
        asked.set()
        await asyncio.sleep(0.3)
        await connection.send(response(WHOLE))

    timers = {"first_token_timeout": 0.1, "idle_timeout": 0.1}
    async with RawUpstream(slow) as upstream, gateway(upstream.url, upstream=timers) as caller:
        answer = await caller.chat()
    assert asked.is_set()
    assert answer.choices[0].message.content == "Hello"


async def test_the_total_timer_spans_all_attempts() -> None:
    """What earlier attempts used is gone, and the total timer is never retried."""

    async def silent(_: Request, connection: Connection) -> None:
        await connection.until_gone()

    timers = {"first_token_timeout": 0.2, "total_timeout": 0.3}
    retry = {"max_attempts": 5, "initial_backoff": 0.001, "max_backoff": 0.001}
    async with (
        RawUpstream(silent) as upstream,
        gateway(upstream.url, upstream=timers, retry=retry) as caller,
    ):
        _, error = await caller.interrupted()
    assert "total timeout" in (error.details() or "")
    assert len(upstream.requests) <= 2


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate of its own authority for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command makes the certificate, and it is not here")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    how = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    name = "subjectAltName=IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", *how.split(), "-addext", name, "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@asynccontextmanager
async def tls_upstream(
    certificate: tuple[str, str], script: Callable[[Request, Connection], Awaitable[None]]
) -> AsyncIterator[tuple[str, RawUpstream]]:
    """The scripted upstream behind TLS; yields its URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with RawUpstream(script) as upstream:
        server = await asyncio.start_server(upstream._serve, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield f"https://127.0.0.1:{port}/v1/chat/completions", upstream


async def test_tls_with_an_authority_of_ones_own(certificate: tuple[str, str]) -> None:
    """`upstream.ca_file` says whom to believe; streams and whole answers work."""
    async with (
        tls_upstream(certificate, says("Hel", "lo")) as (url, upstream),
        gateway(url, upstream={"ca_file": certificate[0]}) as caller,
    ):
        assert text(await caller.events()) == "Hello"
        assert (await caller.chat()).choices[0].message.content == "Hello"
    assert upstream.accepted == 1


async def test_a_certificate_that_nobody_signed(certificate: tuple[str, str]) -> None:
    """Refused, and the setting is named."""
    async with (
        tls_upstream(certificate, says("Hello")) as (url, upstream),
        gateway(url, retry=ONCE) as caller,
    ):
        error = await refusal(caller)
    assert error.code() is Code.UNAVAILABLE
    assert "upstream.ca_file" in (error.details() or "")
    assert upstream.requests == []


async def test_a_certificate_for_another_name(certificate: tuple[str, str]) -> None:
    """A trusted authority is not enough: the name must be the upstream's."""
    async with tls_upstream(certificate, says("Hello")) as (url, upstream):
        other = url.replace("127.0.0.1", "localhost")
        async with gateway(other, upstream={"ca_file": certificate[0]}, retry=ONCE) as caller:
            error = await refusal(caller)
    assert error.code() is Code.UNAVAILABLE
    assert "certificate" in (error.details() or "")
    assert upstream.requests == []


async def test_plain_http_where_tls_was_expected() -> None:
    """A wrong scheme in the URL is a clear sentence, not a hang."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(b"", status="400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with gateway(f"https://127.0.0.1:{port}/api", retry=ONCE) as caller:
            error = await refusal(caller)
    assert error.code() is Code.UNAVAILABLE
    assert "TLS" in (error.details() or "")
