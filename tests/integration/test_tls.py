"""TLS on both faces: certificates that change under running calls, and those of clients."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from headgate.v1 import chat_pb2 as pb
from headgate_client import AsyncClient, Client, Unavailable
from headgate_client import text as whole_text
from support.certificates import DAY, Authority, Files, Pair
from support.gateway import Caller, ask, kinds, text
from support.heard import heard_of
from support.raw_upstream import (
    END,
    RawUpstream,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
)
from support.secure import calling, client_context, noticed, posted, running

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.gateway import Gateway
    from support.raw_upstream import Connection, Request

ID = "spiffe://prod.example/ns/shop/sa/search"


class HeldStream:
    """A script: the first half of an answer, and the rest when it is let go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, _: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("one "))))
        await self.go_on.wait()
        await connection.send(chunked(event(delta("two")) + event(finish())), END)


async def rest_of(stream: Any) -> list[pb.StreamChatResponse]:
    """What is left of a stream that ends OK."""
    events = []
    while isinstance(event := await stream.read(), pb.StreamChatResponse):
        events.append(event)
    return events


async def refused_connection(
    gateway: Gateway, authority: Authority, own: Pair | None = None
) -> None:
    """No call of such a client comes through."""
    async with calling(gateway, authority, own) as caller:
        error = await caller.refused_chat()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "headgate-reason" not in dict(error.trailing_metadata() or ())


def serial(gateway: Gateway, authority: Authority, face: str) -> int:
    """Of the certificate that a new connection is shown."""
    address = gateway.grpc_address if face == "grpc" else gateway.http_address
    assert address is not None
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.set_alpn_protocols(["h2" if face == "grpc" else "http/1.1"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        certificate: Any = secured.getpeercert()
        return int(certificate["serialNumber"], 16)


async def test_both_faces_speak_tls(tmp_path: Path) -> None:
    """And no plain text beside it."""
    authority = Authority()
    files = Files(tmp_path, authority.server())
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        async with calling(gateway, authority) as caller:
            assert text(await caller.events()) == "Hello"
        assert await posted(gateway, tls=client_context(tmp_path, authority)) == (200, "")
        await refused_connection(gateway, Authority("another"))
        async with calling(gateway) as caller:
            error = await caller.refused_chat()
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(aiohttp.ClientError):
            await posted(gateway)


async def test_a_new_certificate_is_at_work_without_ending_a_stream(tmp_path: Path) -> None:
    """The old connection goes on; new ones are shown the new certificate, on both faces."""
    authority = Authority()
    old, new = authority.server(), authority.server()
    files = Files(tmp_path, old)
    held = HeldStream()
    async with (
        RawUpstream(held, says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
        calling(gateway, authority) as caller,
    ):
        stream = caller.stream()
        first: list[Any] = [await stream.read(), await stream.read()]
        shown = [await asyncio.to_thread(serial, gateway, authority, f) for f in ("grpc", "http")]
        files.put(new)
        await noticed(gateway.security)
        for face, before in zip(("grpc", "http"), shown, strict=True):
            after = await asyncio.to_thread(serial, gateway, authority, face)
            assert after != before
        held.go_on.set()
        rest = await rest_of(stream)
        assert text(await caller.events()) == "Hello"
    assert kinds([*first, *rest]) == ["started", "delta", "finished"]
    assert text([*first, *rest]) == "one two"


async def test_no_call_fails_while_certificates_change(tmp_path: Path) -> None:
    """New connections all the while, and twenty certificates in a row."""
    authority = Authority()
    files = Files(tmp_path, authority.server())
    statuses: list[str] = []

    async def call(gateway: Gateway, done: asyncio.Event) -> None:
        while not done.is_set():
            async with calling(gateway, authority) as caller:
                statuses.append(text(await caller.events()))
            statuses.append(str(await posted(gateway, tls=context)))

    context = client_context(tmp_path, authority)
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        done = asyncio.Event()
        calls = [asyncio.create_task(call(gateway, done)) for _ in range(3)]
        for _ in range(20):
            files.put(authority.server())
            await noticed(gateway.security)
        done.set()
        await asyncio.gather(*calls)
    assert set(statuses) == {"Hello", "(200, '')"}


@pytest.mark.parametrize("fault", ["wrong key", "garbage", "expired", "missing"])
async def test_a_broken_certificate_leaves_the_old_one(tmp_path: Path, fault: str) -> None:
    """With one line in the log; a good one is taken as ever."""
    authority = Authority()
    good = authority.server()
    files = Files(tmp_path, good)
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        before = await asyncio.to_thread(serial, gateway, authority, "grpc")
        with capture_logs() as logs:
            match fault:
                case "wrong key":
                    files.put(Pair(authority.server().certificate, good.key))
                case "garbage":
                    files.put(Pair(b"garbage", b"garbage"))
                case "expired":
                    files.put(authority.server(lifetime=-DAY))
                case _:
                    files.key.unlink()
            await noticed(gateway.security)
            await noticed(gateway.security)
        assert [log["event"] for log in logs] == ["the old ones stay at work"]
        assert logs[0]["what"] == "certificate"
        for face in ("grpc", "http"):
            assert await asyncio.to_thread(serial, gateway, authority, face) == before
        files.put(authority.server())
        await noticed(gateway.security)
        assert await asyncio.to_thread(serial, gateway, authority, "http") != before


async def test_every_client_must_have_a_certificate_of_the_authority(tmp_path: Path) -> None:
    """None, one of somebody else's, and one that has expired are refused, on both faces."""
    authority, stranger = Authority(), Authority("stranger")
    files = Files(tmp_path, authority.server(), authority.pem)
    good = authority.sign("shop")
    bad = {
        "none": None,
        "stranger": stranger.sign("shop"),
        "expired": authority.sign("shop", lifetime=-DAY),
    }
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        async with calling(gateway, authority, good) as caller:
            assert text(await caller.events()) == "Hello"
        assert (await posted(gateway, tls=client_context(tmp_path, authority, good)))[0] == 200
        for own in bad.values():
            await refused_connection(gateway, authority, own)
            with pytest.raises((aiohttp.ClientError, OSError)):
                await posted(gateway, tls=client_context(tmp_path, authority, own))
        assert len(upstream.requests) == 2


async def test_clients_of_a_new_authority_come_in_and_the_old_ones_stay_out(
    tmp_path: Path,
) -> None:
    """A change of the authorities counts for every connection after it, on both faces."""
    authority, next_one = Authority("old"), Authority("new")
    files = Files(tmp_path, authority.server(), authority.pem)
    old, new = authority.sign("shop"), next_one.sign("shop")
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        await refused_connection(gateway, authority, new)
        files.put(authority.server(), next_one.pem)
        await noticed(gateway.security)
        await refused_connection(gateway, authority, old)
        async with calling(gateway, authority, new) as caller:
            assert text(await caller.events()) == "Hello"
        assert (await posted(gateway, tls=client_context(tmp_path, authority, new)))[0] == 200
        with pytest.raises((aiohttp.ClientError, OSError)):
            await posted(gateway, tls=client_context(tmp_path, authority, old))


async def test_a_spiffe_id_has_limits_of_its_own(tmp_path: Path) -> None:
    """The name in the certificate is the caller, on both faces."""
    authority = Authority()
    files = Files(tmp_path, authority.server(), authority.pem)
    known = authority.sign("ignored", uris=(ID,), dns=("ignored.example",))
    unknown = authority.sign("somebody")
    callers: dict[str, Any] = {"methods": [], ID: {"methods": ["Chat"]}}
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings(), callers=callers) as gateway,
    ):
        async with calling(gateway, authority, known) as caller:
            await caller.chat()
            error = await caller.refused()
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error.details() == "this caller may not call StreamChat (callers.methods)"
        async with calling(gateway, authority, unknown) as caller:
            caller.metadata = (("x-headgate-caller", ID),)
            error = await caller.refused_chat()
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        own = client_context(tmp_path, authority, known)
        assert await posted(gateway, tls=own) == (200, "")
        other = client_context(tmp_path, authority, unknown)
        assert await posted(gateway, tls=other) == (403, "PERMISSION_DENIED")


async def test_the_python_client_comes_in_with_files(tmp_path: Path) -> None:
    """`ca`, `cert` and `key` name them."""
    authority = Authority()
    files = Files(tmp_path, authority.server(), authority.pem)
    pair = authority.sign("search")
    names = ("ca", "cert", "key")
    own: dict[str, Any] = {name: tmp_path / name for name in names}
    for name, pem in zip(names, (authority.pem, pair.certificate, pair.key), strict=True):
        own[name].write_bytes(pem)
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings()) as gateway,
    ):
        target = gateway.grpc_address
        async with AsyncClient(target, **own) as client:
            assert whole_text(await client.chat("Hi")) == "Hello"
        with Client(target, **own) as client:
            assert whole_text(await asyncio.to_thread(client.chat, "Hi")) == "Hello"
        async with AsyncClient(target, ca=own["ca"]) as stranger:
            with pytest.raises(Unavailable):
                await stranger.chat("Hi", timeout=10)


async def test_probes_without_a_certificate_have_an_address_of_their_own(tmp_path: Path) -> None:
    """In plain text, with health and nothing else."""
    authority = Authority()
    files = Files(tmp_path, authority.server(), authority.pem)
    server = {"health_listen": "127.0.0.1:0"}
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, tls=files.settings(), server=server) as gateway,
    ):
        assert gateway.health_address is not None
        async with grpc.aio.insecure_channel(gateway.health_address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="headgate.v1.ChatService")
            reply = await stub.Check(request)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await Caller(gateway, channel).stub.Chat(ask(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_handshake_that_does_not_go_on_is_cut(tmp_path: Path) -> None:
    """A connection that says nothing holds nothing, on both faces."""
    files = Files(tmp_path, Authority().server())
    server = {"handshake_timeout": 0.2}
    async with running("http://127.0.0.1:1/", tls=files.settings(), server=server) as gateway:
        for address in (gateway.grpc_address, gateway.http_address):
            assert address is not None
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                async with asyncio.timeout(20):
                    assert await reader.read() == b""
            except ConnectionError:
                pass
            finally:
                writer.close()


async def test_who_fails_the_handshake_fills_no_log(tmp_path: Path) -> None:
    """Nobody needs a credential for that, so there is no line for it, of ours or of gRPC's."""
    authority = Authority()
    files = Files(tmp_path, authority.server(), authority.pem)
    flags = [f"--tls.{name}={value}" for name, value in files.settings().items()]
    listens = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    heard = await heard_of("serve", "--sandbox", *listens, *flags)
    await heard.until(lambda said: "limits" in said)
    for face in ("grpc", "http"):
        address = heard.address(f"{face} listening")
        for _ in range(20):
            await asyncio.to_thread(fail_handshake, address, authority)
    heard.process.send_signal(signal.SIGTERM)
    assert await heard.end() == 0
    lines = [line.split()[1] for line in heard.text.splitlines()]
    assert lines == ["grpc", "http", "upstream", "limits"]


def fail_handshake(address: str, authority: Authority) -> None:
    """With no client certificate, and with no TLS at all."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=authority.pem.decode())
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, int(port)), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        secured.recv(1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.settimeout(10)
        raw.recv(1)


async def test_an_idle_connection_is_closed() -> None:
    """Also one whose request never gets whole, as a slow loris sends it."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, server={"max_connection_idle": 0.3}) as gateway,
    ):
        assert gateway.http_address is not None
        host, _, port = gateway.http_address.rpartition(":")
        for start in (b"", b"POST /api HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(start)
            async with asyncio.timeout(20):
                assert await reader.read() == b""
            writer.close()
        async with calling(gateway) as caller:
            await caller.chat()
            while caller.channel.get_state() is grpc.ChannelConnectivity.READY:
                await caller.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            await caller.chat()


async def test_an_old_connection_lets_its_streams_finish() -> None:
    """Its client connects anew for the next call, and so finds new replicas."""
    held = HeldStream()
    async with (
        RawUpstream(held, says("Hello")) as upstream,
        running(upstream.url, server={"max_connection_age": 0.2}) as gateway,
        calling(gateway) as caller,
    ):
        stream = caller.stream()
        first: list[Any] = [await stream.read(), await stream.read()]
        while caller.channel.get_state() is grpc.ChannelConnectivity.READY:
            await caller.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        held.go_on.set()
        rest = await rest_of(stream)
        assert text([*first, *rest]) == "one two"
        assert text(await caller.events()) == "Hello"


async def test_more_streams_than_allowed_wait_in_the_client() -> None:
    """On one connection; a second connection is served."""
    held = HeldStream()
    async with (
        RawUpstream(held, says("Hello")) as upstream,
        running(upstream.url, server={"max_concurrent_streams": 1}) as gateway,
        calling(gateway) as caller,
        calling(gateway) as other,
    ):
        stream = caller.stream()
        await stream.read()
        waiting = asyncio.create_task(caller.events("waits"))
        assert text(await other.events("passes")) == "Hello"
        assert not waiting.done()
        held.go_on.set()
        await rest_of(stream)
        assert text(await waiting) == "Hello"
        asked = [request.json["messages"][-1]["content"] for request in upstream.requests]
    assert asked == ["Hello", "passes", "waits"]


async def test_large_metadata_is_refused() -> None:
    """By gRPC itself, before anything of ours sees it."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url) as gateway,
        calling(gateway) as caller,
    ):
        caller.metadata = (("x-large", "x" * 40_000),)
        error = await caller.refused_chat()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        caller.metadata = ()
        await caller.chat()
        assert len(upstream.requests) == 1
