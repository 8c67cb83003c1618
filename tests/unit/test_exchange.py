"""One request and its response on a connection: what is handed out, and what is said of an end."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx
import pytest
from aiohttp.client_proto import ResponseHandler

from headgate.http_upstream.exchange import (
    MAX_HEAD,
    MAX_WAITING,
    Exchange,
    NoAnswer,
    NotHTTP,
    Truncated,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Owner(ResponseHandler):
    """Whose connection it is."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(asyncio.get_running_loop())
        self.connection_made(transport)
        self.lost: list[BaseException | None] = []

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)


class Wire(asyncio.Transport):
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = Owner(self)
        self.written = b""
        self.done: list[str] = []
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


async def begun(*arrived: bytes) -> tuple[Exchange, Wire]:
    """An exchange that has sent its request, and what arrived since."""
    wire = Wire()
    exchange = Exchange(wire, wire.owner)
    await exchange.request([b"head", b"body"])
    for data in arrived:
        exchange.data_received(data)
    return exchange, wire


async def whole(exchange: Exchange) -> bytes:
    await exchange.respond()
    body = b""
    while data := await exchange.read():
        body += data
    return body


async def test_one_write_holds_head_and_body() -> None:
    """A request in two segments would arrive in two, and be paced by the first."""
    _, wire = await begun()
    assert wire.written == b"headbody"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_same_body_however_it_arrives(size: int) -> None:
    """Chunks end where the peer says, not where reads do."""
    data = HEAD + chunk(b"data: a\n\n") + chunk(b"data: b\n\n") + END
    exchange, _ = await begun(*(data[i : i + size] for i in range(0, len(data), size)))
    assert await whole(exchange) == b"data: a\n\ndata: b\n\n"
    assert exchange.status == 200
    assert (b"Content-Type", b"text/event-stream") in exchange.headers
    assert exchange.reusable


async def test_a_read_brings_all_that_has_arrived() -> None:
    """Deltas that wait together are merged, so they have to come together."""
    exchange, _ = await begun(HEAD + chunk(b"a"), chunk(b"b"), chunk(b"c"))
    await exchange.respond()
    assert await exchange.read() == b"abc"


async def test_interim_responses_are_read_over() -> None:
    """100 Continue and 103 Early Hints are no answers (RFC 9110, section 15.2)."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    exchange, _ = await begun(early + HEAD + chunk(b"a") + END)
    assert await whole(exchange) == b"a"
    assert [name for name, _ in exchange.headers] == [b"Content-Type", b"Transfer-Encoding"]


async def test_a_body_without_length_ends_with_the_connection() -> None:
    """As HTTP/1.0 servers send it; such a connection is not used again."""
    exchange, _ = await begun(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    exchange.connection_lost(None)
    assert await whole(exchange) == b"all of it"
    assert not exchange.reusable


@pytest.mark.parametrize(
    "head",
    [HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"],
    ids=["chunks", "length"],
)
@pytest.mark.parametrize("exc", [None, ConnectionResetError()], ids=["closed", "reset"])
async def test_what_had_arrived_comes_before_the_break(head: bytes, exc: Exception | None) -> None:
    """The bytes may be the end of an answer that was whole."""
    exchange, _ = await begun(head + (chunk(b"data: a\n\n") if head is HEAD else b"data: a\n\n"))
    exchange.connection_lost(exc)
    await exchange.respond()
    assert await exchange.read() == b"data: a\n\n"
    for _ in range(2):
        with pytest.raises(Truncated):
            await exchange.read()
    assert not exchange.reusable


async def test_a_reset_of_a_body_that_only_the_connection_ends_is_no_end() -> None:
    """Only an orderly close ends it."""
    exchange, _ = await begun(b"HTTP/1.0 200 OK\r\n\r\nsome")
    exchange.connection_lost(ConnectionResetError())
    await exchange.respond()
    assert await exchange.read() == b"some"
    with pytest.raises(Truncated):
        await exchange.read()


@pytest.mark.parametrize(
    ("exc", "kind"),
    [(None, NoAnswer), (ConnectionResetError(), httpx.ReadError), (ssl.SSLError(), ssl.SSLError)],
    ids=["closed", "reset", "TLS"],
)
async def test_ends_before_the_head(exc: Exception | None, kind: type[Exception]) -> None:
    """Nothing was answered, and why."""
    exchange, _ = await begun(b"HTTP/1.1 200")
    exchange.connection_lost(exc)
    with pytest.raises(kind):
        await exchange.respond()


async def test_what_is_no_http() -> None:
    """Another protocol, or a head without end."""
    exchange, wire = await begun(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(NotHTTP):
        await exchange.respond()
    assert wire.done == ["close"]
    exchange, _ = await begun(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 1020 + b"\r\n"] * 100)
    with pytest.raises(NotHTTP, match=str(MAX_HEAD)):
        await exchange.respond()


async def test_a_broken_body_is_truncated_there() -> None:
    """What came before is the caller's."""
    exchange, _ = await begun(HEAD + chunk(b"a"), b"no size\r\n")
    await exchange.respond()
    assert await exchange.read() == b"a"
    with pytest.raises(Truncated):
        await exchange.read()


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n\r\n", b"garbage"])
async def test_bytes_behind_the_end_spoil_the_connection_alone(more: bytes) -> None:
    """The answer is whole; whose the second would be, nobody knows."""
    exchange, _ = await begun(HEAD + chunk(b"a") + END + more)
    assert await whole(exchange) == b"a"
    assert not exchange.reusable


async def test_trailers_are_read_over() -> None:
    """The head is whole before them, and nobody asks for them."""
    exchange, _ = await begun(HEAD + chunk(b"a") + b"0\r\nX-Sum: 1\r\n", b"X-More: 2\r\n\r\n")
    assert await whole(exchange) == b"a"
    assert [name for name, _ in exchange.headers] == [b"Content-Type", b"Transfer-Encoding"]
    assert exchange.reusable


@pytest.mark.parametrize("line", [b"X: " + b"y" * 1020 + b"\r\n", b"y" * 1024], ids=["many", "one"])
async def test_trailers_without_end_are_cut(line: bytes) -> None:
    """Nothing of them is kept, but the parser keeps the one that is not over."""
    exchange, wire = await begun(HEAD + chunk(b"a") + b"0\r\nX: ", *[line] * 100)
    await exchange.respond()
    assert await exchange.read() == b"a"
    with pytest.raises(Truncated, match=str(MAX_HEAD)):
        await exchange.read()
    assert wire.done == ["close"]


async def test_a_body_has_no_such_bound() -> None:
    """Bytes between its pieces are not added up, however many pieces there are."""
    pieces = [piece for _ in range(10_000) for piece in (b"1;extension\r\n", b"a\r\n")]
    exchange, wire = await begun(HEAD, *pieces, END)
    assert await whole(exchange) == b"a" * 10_000
    assert wire.done == []


SECOND = b"HTTP/1.1 500 No\r\nX-More: 1\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize("second", [SECOND, HEAD + chunk(b"b") + END, SECOND * 2])
@pytest.mark.parametrize("together", [True, False], ids=["one read", "two reads"])
async def test_a_second_answer_changes_nothing_of_the_first(second: bytes, together: bool) -> None:
    """Status, headers and body are those of the first, and the connection is not used again."""
    first = HEAD + chunk(b"a") + END
    exchange, _ = await begun(*([first + second] if together else [first, second]))
    assert await whole(exchange) == b"a"
    assert exchange.status == 200
    assert [name for name, _ in exchange.headers] == [b"Content-Type", b"Transfer-Encoding"]
    assert not exchange.reusable


async def test_a_slow_reader_slows_the_peer() -> None:
    """Reading pauses above the bound, and goes on once what waited is taken."""
    exchange, wire = await begun(HEAD, *[chunk(b"x" * 1024)] * (MAX_WAITING // 1024 + 2))
    assert wire.done == ["pause"]
    await exchange.respond()
    await exchange.read()
    assert wire.done == ["pause", "resume"]


async def test_a_paused_connection_is_given_back_reading() -> None:
    """Whoever leaves unread bytes behind does not stop the next one's."""
    exchange, wire = await begun(HEAD, *[chunk(b"x" * 1024)] * (MAX_WAITING // 1024 + 2), END)
    exchange.leave()
    assert exchange.reusable
    assert wire.done == ["pause", "resume"]


async def test_a_peer_that_answers_early_gets_no_more() -> None:
    """413 to a large request: the answer counts, and the connection is cut at once."""
    wire = Wire()
    exchange = Exchange(wire, wire.owner)
    exchange.pause_writing()
    sending = asyncio.create_task(exchange.request([b"x" * 100]))
    await asyncio.sleep(0)
    assert not sending.done()
    exchange.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await sending
    assert await whole(exchange) == b""
    assert exchange.status == 413
    assert not exchange.reusable
    exchange.leave()
    assert wire.done == ["abort"]


async def test_a_request_has_left_once_the_buffer_drains() -> None:
    """The schedule's next slot counts from there."""
    exchange = Exchange(wire := Wire(), wire.owner)
    exchange.pause_writing()
    sending = asyncio.create_task(exchange.request([b"x" * 100]))
    await asyncio.sleep(0)
    exchange.resume_writing()
    await sending
    exchange.data_received(HEAD + END)
    assert await whole(exchange) == b""
    assert exchange.reusable


async def test_nothing_is_written_on_a_closed_connection() -> None:
    """What was kept alive may have been closed meanwhile."""
    wire = Wire()
    wire.close()
    with pytest.raises(NoAnswer):
        await Exchange(wire, wire.owner).request([b"x"])
    assert wire.written == b""


async def test_the_owner_hears_of_the_end() -> None:
    """A pool that is closed waits until each of its connections says so."""
    exchange, wire = await begun(HEAD)
    fault = ConnectionResetError()
    exchange.connection_lost(fault)
    assert wire.owner.lost == [fault]


async def test_a_connection_that_its_owner_closed_is_no_fault_of_the_peers() -> None:
    """As when the gateway goes: who still reads is cancelled, and hears of no broken upstream."""
    exchange, wire = await begun(HEAD)
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    wire.owner.close()
    exchange.connection_lost(None)
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()


async def test_the_owner_gets_the_connection_back() -> None:
    """What comes on it from then on is no business of the exchange's."""
    exchange, wire = await begun(HEAD + END)
    exchange.leave()
    exchange.give_back()
    assert wire.protocol is wire.owner


async def test_a_read_ends_at_its_limit() -> None:
    """A limit in the past ends the read at once; without one, the bytes do."""
    exchange, _ = await begun(HEAD)
    await exchange.respond()
    exchange.limit(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await exchange.read()
    exchange.data_received(chunk(b"late"))
    assert await exchange.read() == b"late"
    exchange.leave()


async def test_a_limit_that_comes_sooner_counts() -> None:
    """Behind the finish nobody waits as long as between two tokens."""
    exchange, _ = await begun(HEAD + chunk(b"a"))
    await exchange.respond()
    now = asyncio.get_running_loop().time()
    exchange.limit(now + 1000)
    await exchange.read()
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    exchange.data_received(chunk(b"b"))
    assert await reading == b"b"
    exchange.limit(now)
    with pytest.raises(TimeoutError):
        await exchange.read()
    exchange.leave()


async def test_what_arrives_while_a_read_waits_is_offered() -> None:
    """What is taken wakes nobody; what is not, and what comes with the end, is read."""
    exchange, _ = await begun(HEAD + chunk(b"first"))
    await exchange.respond()
    offered: list[bytes] = []

    def take(data: bytes) -> bool:
        offered.append(data)
        return data != b"not this"

    exchange.offer(take)
    assert await exchange.read() == b"first"
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    for data in (b"a", b"b", b"not this"):
        exchange.data_received(chunk(data))
    assert await reading == b"not this"
    exchange.data_received(chunk(b"nobody waits"))
    assert await exchange.read() == b"nobody waits"
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    exchange.data_received(chunk(b"c"))
    exchange.data_received(chunk(b"the last") + END)
    assert await reading == b"the last"
    assert await exchange.read() == b""
    assert offered == [b"a", b"b", b"not this", b"c"]


async def test_nothing_is_offered_any_more() -> None:
    """As soon as that was withdrawn."""
    exchange, _ = await begun(HEAD)
    await exchange.respond()
    exchange.offer(lambda _: True)
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    exchange.offer(None)
    exchange.data_received(chunk(b"a"))
    assert await reading == b"a"


async def test_who_takes_may_move_the_limit() -> None:
    """A stream whose deltas are all taken is not idle."""
    exchange, _ = await begun(HEAD)
    await exchange.respond()
    loop, passed = asyncio.get_running_loop(), asyncio.Event()
    now = loop.time()
    exchange.limit(now + 0.001)

    def take(_: bytes) -> bool:
        exchange.limit(now + 1000)
        return True

    exchange.offer(take)
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    exchange.data_received(chunk(b"a"))
    loop.call_at(now + 0.002, passed.set)
    await passed.wait()
    assert not reading.done()
    exchange.offer(None)
    exchange.data_received(chunk(b"b"))
    assert await reading == b"b"
