"""How a server lives and ends: nobody who only watches holds it, and nothing of it is left."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from headgate.config import StartError
from headgate.gateway import Gateway
from headgate.v1 import chat_pb2_grpc
from support.gateway import Caller, ask, gateway, kinds, settings
from support.processes import clean_environment
from support.raw_upstream import RawUpstream, says
from support.service import service, serving
from support.watchers import watchers

if TYPE_CHECKING:
    from support.raw_upstream import Connection, Request

Code = grpc.StatusCode
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LONG = 10_000.0
"""A grace that no test can wait for: whoever holds a stop shows by the test's own timeout."""


def stub(caller: Caller) -> Any:
    return health_pb2_grpc.HealthStub(caller.channel)


async def test_nobody_shares_the_grpc_port() -> None:
    """Who binds it with SO_REUSEPORT, as gRPC's servers do, would get half of the connections."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        host, _, port = caller.gateway.grpc_address.rpartition(":")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind((host, int(port)))


async def test_a_taken_grpc_port_is_one_line() -> None:
    """A second gateway says so at its start."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        taken = caller.gateway.grpc_address
        second = Gateway(settings(upstream.url, listen=taken))
        with pytest.raises(StartError, match=f"cannot listen on {taken}: address already in use"):
            await second.start()


async def test_health_lists_all_names() -> None:
    """As Check says it of each."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        answer = await stub(caller).List(
            health_pb2.HealthListRequest(),  # type: ignore[attr-defined]
            timeout=10,
        )
    assert {name: one.status for name, one in answer.statuses.items()} == {
        "": SERVING,
        "headgate.v1.ChatService": SERVING,
        "liveness": SERVING,
    }


async def test_watchers_stay_until_calls_are_refused() -> None:
    """A watcher that was ended while the port is open would come back at once, again and again."""
    async with (
        RawUpstream() as upstream,
        gateway(upstream.url, server={"drain_delay": 1}) as caller,
    ):
        watch = stub(caller).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stop = asyncio.create_task(caller.gateway.stop(LONG))
        assert (await watch.read()).status == NOT_SERVING
        checked = await stub(caller).Check(health_pb2.HealthCheckRequest(), timeout=10)
        live = health_pb2.HealthCheckRequest(service="liveness")
        assert (await stub(caller).Check(live, timeout=10)).status == SERVING
        assert not watch.done()
        await stop
        assert await watch.read() is grpc.aio.EOF
    assert checked.status == NOT_SERVING


@pytest.mark.parametrize("window", [0, 65_535], ids=["no window", "never reads"])
async def test_two_hundred_watchers_that_never_read_do_not_hold_a_stop(window: int) -> None:
    """Neither those that could be told, nor those that let nothing be sent to them at all."""
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        async with watchers(caller.gateway.grpc_address, 200, window=window):
            while len(_watching()) < 200:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            await caller.gateway.stop(LONG)
        assert _watching() == []


def _watching() -> list[asyncio.Task[Any]]:
    """The watchers' handlers, by the name that grpc.aio gives their tasks."""
    return [task for task in asyncio.all_tasks() if "Health/Watch" in task.get_name()]


async def test_a_reflection_stream_does_not_hold_a_stop() -> None:
    """Tools keep theirs open for as long as they run."""
    async with (
        RawUpstream() as upstream,
        gateway(upstream.url, server={"reflection": True}) as caller,
    ):
        call = _reflect(caller, "v1")
        await _services(call)
        await caller.gateway.stop(LONG)


def _reflect(caller: Caller, version: str) -> Any:
    return caller.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()


async def _services(call: Any) -> list[str]:
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    return [service.name for service in answer.list_services_response.service]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_answers_by_both_names(version: str) -> None:
    """Newer tools ask for v1 first, older ones know v1alpha only."""
    async with (
        RawUpstream() as upstream,
        gateway(upstream.url, server={"reflection": True}) as caller,
    ):
        call = _reflect(caller, version)
        assert "headgate.v1.ChatService" in await _services(call)
        symbol = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="headgate.v1.ChatService"
        )
        await call.write(symbol)
        answer = await call.read()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert answer.file_descriptor_response.file_descriptor_proto


async def test_channelz_tells_of_connections() -> None:
    """Of the gateway's own, and on an address for that alone."""
    async with (
        RawUpstream(says("word")) as upstream,
        gateway(upstream.url, server={"channelz_listen": "127.0.0.1:0"}) as caller,
    ):
        await caller.chat()
        address = caller.gateway.channelz_address
        assert address is not None
        async with grpc.aio.insecure_channel(address) as channel:
            asked = _channelz(channel)
            servers = await asked.GetServers(channelz_pb2.GetServersRequest(), timeout=10)
            own = channelz_pb2.GetServerSocketsRequest(server_id=servers.server[0].ref.server_id)
            sockets = await asked.GetServerSockets(own, timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _channelz(caller.channel).GetServers(channelz_pb2.GetServersRequest(), timeout=10)

    assert [server.data.calls_succeeded for server in servers.server] == [1]
    assert len(sockets.socket_ref) == 1
    assert caught.value.code() is Code.UNIMPLEMENTED


def _channelz(channel: Any) -> Any:
    return channelz_pb2_grpc.ChannelzStub(channel)


async def test_a_stop_leaves_nothing() -> None:
    """No task, no socket and no file that were not there before the start."""
    async with RawUpstream(says("word")) as upstream, aiohttp.ClientSession() as client:
        await _once(upstream.url, client)  # what gRPC keeps for the process is there from now on
        tasks, files = set(asyncio.all_tasks()), Counter(_open())
        for _ in range(5):
            await _once(upstream.url, client)
        await upstream.until(lambda: upstream.open == 0)
        # The client's own tasks end by themselves, and so do the upstream's.
        while asyncio.all_tasks() - tasks:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        # gRPC closes its sockets in threads of its own.
        while Counter(_open()) - files:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def _once(url: str, client: aiohttp.ClientSession) -> None:
    """A life with a call on each face, a watcher, a reader that leaves, and a stop."""
    listens = {"http_listen": "127.0.0.1:0", "metrics": {"listen": "127.0.0.1:0"}}
    running = Gateway(settings(url, server={"health_listen": "127.0.0.1:0"}, **listens))
    await running.start()
    async with grpc.aio.insecure_channel(running.grpc_address) as channel:
        caller = Caller(running, channel)
        watch = stub(caller).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        assert kinds(await caller.events())[-1] == "finished"
        leaver = caller.stream()
        await leaver.read()
        leaver.cancel()
        body = {"messages": [{"role": "user", "content": "x"}]}
        async with client.post(f"http://{running.http_address}/api", json=body) as reply:
            await reply.read()
        await running.stop(5)
        with suppress(grpc.aio.AioRpcError):
            await watch.read()


def _open() -> list[str]:
    """What is open in this process, by kind and path, without the numbers of sockets."""
    kept = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            kept.append(str(entry.readlink()).partition(":[")[0])
    return kept


async def test_a_signal_during_the_start_ends_it() -> None:
    """A store that does not answer is not waited for, and the status is that of a good end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        store = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        flags = ["--throttle.store", store, "--throttle.store_timeout", "10"]
        async with service("--upstream", "http://127.0.0.1:1/api", *flags) as starting:
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            with connection:
                starting.send(signal.SIGTERM)
                assert await starting.end() == 0
    assert "listening" not in "".join(starting.said)


async def test_a_second_signal_ends_at_once() -> None:
    """Status 128 and the signal's number, in the middle of a grace that has long to go."""
    async with (
        RawUpstream(_silent) as upstream,
        serving("--upstream", upstream.url, "--server.grace", "600") as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        method: Any = chat_pb2_grpc.ChatServiceStub(channel).Chat
        asked = method(ask(), timeout=50)
        await upstream.until(lambda: len(upstream.requests) == 1)
        running.send(signal.SIGTERM)
        await _refused(running.address)
        running.send(signal.SIGTERM)
        assert await running.end() == 128 + signal.SIGTERM
        # By its handler's end or by its connection's, whichever the client hears of first.
        assert await asked.code() in {Code.UNAVAILABLE, Code.CANCELLED}
    assert "headgate: stopped at once by a second signal; running calls were cut" in running.said


async def _silent(_: Request, connection: Connection) -> None:
    await connection.until_gone()


async def _refused(address: str) -> None:
    """Until nobody listens there any more."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue
        writer.close()
        await asyncio.sleep(0.01)


def _run(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=clean_environment(),
        text=True,
        **({"stderr": subprocess.PIPE} | options),
    )


def test_ctrl_c_during_the_imports_is_no_traceback() -> None:
    """The interpreter says what it imports; in the middle of that the signal comes."""
    with _run("-X", "importtime", "-m", "headgate", "demo") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith(" click.core\n"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in rest


@pytest.mark.parametrize("command", [["demo", "Hi"], ["check"], ["proto"], ["--version"]])
def test_a_full_disk_is_one_line(command: list[str]) -> None:
    """And status 1; nothing is said a second time when the interpreter ends."""
    with (
        Path("/dev/full").open("w") as full,
        _run("-m", "headgate", *command, stdout=full) as process,
    ):
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
    assert process.returncode == 1
    assert said[0] == "headgate: cannot write: no space left on device"
    assert [line for line in said[1:] if "not set" not in line] == []


def test_a_reader_that_has_left_is_no_fault() -> None:
    """`headgate proto | head -1` says nothing about pipes."""
    reading, writing = os.pipe()
    os.close(reading)
    with _run("-m", "headgate", "proto", stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("collector", ["dead", "stuck"])
async def test_a_log_without_a_reader_fails_no_call(collector: str) -> None:
    """Calls go on, and so does the stop."""
    async with RawUpstream(says("word")) as upstream:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # a dozen lines
        kept = os.dup(reading) if collector == "stuck" else None
        with _run(
            "-m",
            "headgate",
            *("serve", "--listen", "127.0.0.1:0", "--profile", "unlimited"),
            *("--upstream", upstream.url),
            stderr=writing,
        ) as process:
            os.close(writing)
            try:
                address = await asyncio.to_thread(_address, reading)
                async with grpc.aio.insecure_channel(address) as channel:
                    method: Any = chat_pb2_grpc.ChatServiceStub(channel).Chat
                    for _ in range(30):
                        assert (await method(ask(), timeout=20)).choices
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 30) == 0
            finally:
                process.kill()
                if kept is not None:
                    os.close(kept)


def _address(said: int) -> str:
    """Where it serves; what it says later nobody can read any more."""
    with os.fdopen(said) as lines:
        address = next(line.split()[-1] for line in lines if "listening on" in line)
        next(line for line in lines if line.startswith("headgate: limits"))
        return address


@pytest.mark.parametrize("how", ["signal", "closed"])
def test_a_closed_terminal_is_the_end(how: str) -> None:
    """Nobody is left to stop it; a SIGHUP with the terminal still there is a reload."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "headgate", "serve", "--sandbox", "--listen", "127.0.0.1:0"],
            clean_environment(),
        )
    said = b""
    while b"headgate: limits" not in said:
        said += os.read(terminal, 4096)
    if how == "signal":
        os.kill(pid, signal.SIGHUP)
        while b"reloaded" not in said:
            said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
