"""What stands around every handler, on a real server: typed ends, own contexts, quiet goodbyes."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from headgate.config import CallersSettings
from headgate.errors import QueueFull
from headgate.grpc_face import ChatServicer, add_chat_service
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.security import Access
from headgate.system_prompt import SystemPrompt
from headgate.upstream import Chunk, Delta, Head
from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from support.gateway import Caller, ask, gateway, trailer
from support.ports import closed_port
from support.raw_upstream import DONE, END, RawUpstream, chunked, delta, event, finish, stream_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headgate.upstream import Call
    from support.raw_upstream import Connection, Request

Code = grpc.StatusCode
METHODS = ["Chat", "StreamChat"]
mark: ContextVar[str] = ContextVar("mark", default="")


class Scripted:
    """A corridor that does what the test says, and notes where it was entered and left."""

    def __init__(self, chunks: Callable[[], AsyncIterator[Chunk]]) -> None:
        self._chunks = chunks
        self.reading = 0
        self.entered: tuple[object, str] | None = None
        self.left: tuple[object, str] | None = None
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        token = mark.set(call.request_id)
        self.entered = (asyncio.current_task(), mark.get())
        try:
            yield self._counted()
        finally:
            assert self.reading == 0, "left while somebody still reads"
            self.left = (asyncio.current_task(), mark.get())
            mark.reset(token)
            self.closed.set()

    async def _counted(self) -> AsyncIterator[Chunk]:
        self.reading += 1
        try:
            async for chunk in self._chunks():
                self.reading -= 1
                yield chunk
                self.reading += 1
        finally:
            self.reading = 0


def said(content: str) -> Chunk:
    return Chunk(head=Head("c-1"), deltas=[Delta(content=content)], finishes={}, extra={})


@asynccontextmanager
async def serving(
    corridor: Scripted, *options: tuple[str, Any]
) -> AsyncIterator[chat_pb2_grpc.ChatServiceAsyncStub]:
    """A server with nothing but the face and this corridor."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    intake = Intake(SystemPrompt("", "none", allow_override=True))
    add_chat_service(ChatServicer(corridor, intake, Access(CallersSettings(), Identity())), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    try:
        yield cast("chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel))
    finally:
        await channel.close()
        await server.stop(0)


async def failure(
    stub: chat_pb2_grpc.ChatServiceAsyncStub, method: str, **fields: Any
) -> grpc.aio.AioRpcError:
    """The status of a call that does not end OK; a call that hangs fails by its deadline."""
    try:
        if method == "Chat":
            await stub.Chat(ask(**fields), timeout=10)
        else:
            async for _ in stub.StreamChat(ask(**fields), timeout=10):
                pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call ended OK")


def raising(error: BaseException, *before: Chunk) -> Callable[[], AsyncIterator[Chunk]]:
    async def chunks() -> AsyncIterator[Chunk]:
        for chunk in before:
            yield chunk
        raise error

    return chunks


@pytest.mark.parametrize("before", [(), (said("a"),)], ids=["first", "after a delta"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_stray_cancellation_is_a_typed_end(method: str, before: tuple[Chunk, ...]) -> None:
    """CancelledError from within would leave the client hanging; it is INTERNAL, and logged."""
    corridor = Scripted(raising(asyncio.CancelledError(), *before))
    with capture_logs() as logs:
        async with serving(corridor) as stub:
            error = await failure(stub, method)
    assert (error.code(), trailer(error, "headgate-reason")) == (Code.INTERNAL, "INTERNAL")
    assert [entry["log_level"] for entry in logs] == ["error"]


@pytest.mark.parametrize("method", METHODS)
async def test_no_text_of_an_internal_error_reaches_a_caller(method: str) -> None:
    """Promise 8: the log has it, the status has not."""
    corridor = Scripted(raising(ValueError("dsn=postgres://admin:hunter2@db")))
    with capture_logs() as logs:
        async with serving(corridor) as stub:
            error = await failure(stub, method)
    assert (error.code(), trailer(error, "headgate-reason")) == (Code.INTERNAL, "INTERNAL")
    everything = f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()}"
    assert "hunter2" not in everything
    assert "ValueError" not in everything
    assert len(logs) == 1


@pytest.mark.parametrize("method", METHODS)
async def test_our_errors_keep_their_status_and_the_request_id(method: str) -> None:
    """A refusal from any door comes out typed, with the id that the log knows it by."""
    corridor = Scripted(raising(QueueFull("no room", retry_after=2.0)))
    with capture_logs() as logs:
        async with serving(corridor) as stub:
            error = await failure(stub, method)
    assert (error.code(), error.details()) == (Code.RESOURCE_EXHAUSTED, "no room")
    assert trailer(error, "headgate-reason") == "QUEUE_FULL"
    assert trailer(error, "x-request-id")
    assert logs == []


async def endless() -> AsyncIterator[Chunk]:
    yield said("a")
    await asyncio.Event().wait()


def forever() -> AsyncIterator[Chunk]:
    return endless()


async def rest(call: Any) -> list[Any]:
    """What is still to come, whatever the end is."""
    answers: list[Any] = []
    with suppress(grpc.aio.AioRpcError):
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    return answers


ENDS = ["cancel", "deadline", "error", "normal"]


@pytest.mark.parametrize("interval", [0.0, 0.001], ids=["plain", "held"])
@pytest.mark.parametrize("end", ENDS)
async def test_finally_blocks_run_in_the_calls_own_task_and_context(
    end: str, interval: float
) -> None:
    """Doors may use context variables and locks: their exits happen where their entries did."""

    async def normal() -> AsyncIterator[Chunk]:
        yield said("a")
        yield Chunk(finishes={0: "stop"}, deltas=[], extra={})

    chunks = {"error": raising(QueueFull(""), said("a")), "normal": normal}.get(end, forever)
    corridor = Scripted(chunks)
    options = pb.StreamOptions()
    options.delta_interval.FromNanoseconds(round(interval * 1e9))
    async with serving(corridor) as stub:
        call = stub.StreamChat(
            ask(stream_options=options),
            timeout=1 if end == "deadline" else 10,
            metadata=[("x-request-id", "r-7")],
        )
        await call.read()
        if end == "cancel":
            call.cancel()
        else:
            await rest(call)
        await corridor.closed.wait()
    assert corridor.entered == corridor.left
    assert corridor.left is not None
    assert corridor.left[1] == "r-7"


async def test_a_blocked_write_on_a_vanished_client_ends_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody is told, nothing is logged as an error, and the corridor is left."""
    loose: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
    written = asyncio.Event()

    async def flood() -> AsyncIterator[Chunk]:
        for count in range(10_000):
            if count == 20:
                written.set()
            yield said("x" * 60_000)
        raise AssertionError("a reader that does not read took everything")

    corridor = Scripted(flood)
    window = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        async with serving(corridor, *window) as stub:
            call = stub.StreamChat(ask(), timeout=10)
            await call.read()
            stuck = asyncio.ensure_future(written.wait())
            await asyncio.wait({stuck}, timeout=0.2)
            assert not written.is_set(), "the writer never blocked"
            call.cancel()
            await corridor.closed.wait()
            stuck.cancel()
    assert (logs, loose, caplog.records) == ([], [], [])


async def test_the_request_id_is_taken_or_made() -> None:
    """One that can stand in a log is the caller's own; anything else gets a new one."""
    ids = {}
    given = ["mine-1", "", "x" * 129]
    async with serving(Scripted(raising(QueueFull("")))) as stub:
        for request_id in given:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Chat(ask(), metadata=[("x-request-id", request_id)], timeout=10)
            ids[request_id] = trailer(caught.value, "x-request-id") or ""
    assert ids.pop("mine-1") == "mine-1"
    assert all(len(made) == 32 and made.isalnum() for made in ids.values())
    assert len(set(ids.values())) == 2


Answer = "Callable[[Request, Connection], Awaitable[None]]"


def streams_when_told(go: asyncio.Event) -> Callable[[Request, Connection], Awaitable[None]]:
    """An upstream that says `a`, and the rest when the test lets it."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        gone = asyncio.ensure_future(connection.until_gone())
        done, _pending = await asyncio.wait(
            {gone, asyncio.ensure_future(go.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if gone not in done:
            gone.cancel()
            await asyncio.wait({gone})
            await connection.send(chunked(event(delta("b")) + event(finish()) + DONE), END)

    return script


async def read_delta(stream: Any) -> None:
    await stream.read()
    await stream.read()


async def test_a_stop_lets_streams_finish() -> None:
    """Within the grace a running stream comes to its end, and then the server is gone."""
    go = asyncio.Event()
    async with RawUpstream(streams_when_told(go)) as upstream, gateway(upstream.url) as caller:
        stream = caller.stub.StreamChat(ask())
        await read_delta(stream)
        stop = asyncio.create_task(caller.gateway.stop(20))
        await asyncio.sleep(0)
        go.set()
        words = [received.delta.content for received in await rest(stream)]
        await stop
        late = await refused(caller)

    assert "".join(words) == "b"
    assert await stream.code() is Code.OK
    assert late.code() is Code.UNAVAILABLE


async def refused(caller: Caller) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.chat()
    return caught.value


async def test_a_stop_cuts_the_rest_with_a_typed_status() -> None:
    """After the grace a stream is ABORTED with the cause, a call without a delta is DRAINING."""
    go = asyncio.Event()

    async def silent(_: Request, connection: Connection) -> None:
        await connection.until_gone()

    async with (
        RawUpstream(streams_when_told(go), silent) as upstream,
        gateway(upstream.url) as caller,
    ):
        stream = caller.stub.StreamChat(ask())
        await read_delta(stream)
        waiting = caller.stub.Chat(ask())
        await upstream.until(lambda: len(upstream.requests) == 2)

        await caller.gateway.stop(0.1)

        codes = [await stream.code(), await waiting.code()]
        trailers = dict(await stream.trailing_metadata() or ())
        others = dict(await waiting.trailing_metadata() or ())
        await upstream.until(lambda: upstream.open == 0)
    assert codes == [Code.ABORTED, Code.UNAVAILABLE]
    assert trailers["headgate-reason"] == "STREAM_INTERRUPTED"
    assert others["headgate-reason"] == "DRAINING"
    assert int(others["grpc-retry-pushback-ms"]) >= 50


def health_stub(caller: Caller) -> Any:
    return health_pb2_grpc.HealthStub(caller.channel)


def health_request(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


Health = health_pb2.HealthCheckResponse


@pytest.mark.parametrize("service", ["", "headgate.v1.ChatService", "liveness"])
async def test_health_check(service: str) -> None:
    """All three names are SERVING on a running server, and no check costs an upstream slot."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        answer = await health_stub(caller).Check(health_request(service), timeout=10)
        assert upstream.requests == []
    assert answer.status == Health.SERVING


async def test_health_of_a_stranger() -> None:
    """Check says NOT_FOUND, Watch says SERVICE_UNKNOWN and stays (the protocol's rules)."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_stub(caller).Check(health_request("nobody"), timeout=10)
        watch = health_stub(caller).Watch(health_request("nobody"))
        first = await watch.read()
        assert not watch.done()
    assert caught.value.code() is Code.NOT_FOUND
    assert first.status == Health.SERVICE_UNKNOWN


async def test_watchers_are_told_and_ended_at_drain() -> None:
    """Readiness turns, liveness does not; no watcher holds the stop for its grace."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        watches = [health_stub(caller).Watch(health_request(n)) for n in ("", "liveness")]
        first = [(await watch.read()).status for watch in watches]

        await caller.gateway.stop(1000)

        later = [[answer.status for answer in await rest(watch)] for watch in watches]
        codes = [await watch.code() for watch in watches]
    assert first == [Health.SERVING, Health.SERVING]
    assert later == [[Health.NOT_SERVING], []]
    assert codes == [Code.OK, Code.OK]


async def test_drain_turns_readiness_before_calls_are_refused() -> None:
    """During drain_delay calls still work, so that balancers have time to look away."""
    go = asyncio.Event()
    go.set()
    async with (
        RawUpstream(streams_when_told(go)) as upstream,
        gateway(upstream.url, server={"drain_delay": 0.5}) as caller,
    ):
        watch = health_stub(caller).Watch(health_request())
        await watch.read()
        stop = asyncio.create_task(caller.gateway.stop(5))
        turned = await watch.read()
        events = await caller.events()
        await stop
    assert turned.status == Health.NOT_SERVING
    assert events[-1].WhichOneof("event") == "finished"


async def test_durations_below_zero_are_refused() -> None:
    """Stream options are checked with the rest; zero is the same as unset."""
    async with serving(Scripted(forever)) as stub:
        negative = pb.StreamOptions(heartbeat_interval=Duration(seconds=-1))
        error = await failure(stub, "StreamChat", stream_options=negative)
        zero = pb.StreamOptions(heartbeat_interval=Duration(), delta_interval=Duration())
        stream = stub.StreamChat(ask(stream_options=zero), timeout=10)
        first = await stream.read()
        stream.cancel()
    assert error.code() is Code.INVALID_ARGUMENT
    assert "heartbeat_interval" in (error.details() or "")
    assert isinstance(first, pb.StreamChatResponse)


async def test_a_call_is_let_go_without_a_collection() -> None:
    """Else gRPC counts it on, and refuses the streams of a connection that has had enough of them.

    Collections are rare here, and a proxy has one connection for all of its callers.
    """

    async def answer(_: Request, connection: Connection) -> None:
        events = event(delta("Hello")) + event(finish()) + DONE
        await connection.send(stream_head(), chunked(events), END)

    with closed_port() as closed:
        url = f"http://127.0.0.1:{closed}/"
        async with (
            RawUpstream(answer) as upstream,
            gateway(upstream.url) as good,
            gateway(url, retry={"max_attempts": 2, "initial_backoff": 0.01}) as bad,
        ):
            await bad.refused()
            gc.collect()
            gc.disable()
            try:
                for _ in range(5):
                    await bad.refused()
                    await bad.refused_chat()
                    assert await good.events()
                names = [type(one).__name__ for one in gc.get_objects()]
                assert names.count("_ServicerContext") <= 1  # gRPC's own, one for each call
            finally:
                gc.enable()
