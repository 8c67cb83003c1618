"""TLS towards the upstream where a connection ends, on the loop that serves and on asyncio's."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from headgate import wire
from headgate.config import UpstreamSettings
from headgate.http_upstream import HttpUpstream
from headgate.upstream import Call
from support.certificates import Authority, Files
from support.raw_upstream import (
    DONE,
    END,
    chunked,
    completion,
    delta,
    event,
    finish,
    response,
    stream_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

# More than waits for a reader anywhere on the way.
WORDS = 1500
WORD = "x" * 1000
CLOSE = ["Connection: close"]
WHOLE = response(json.dumps(completion(WORD * WORDS)).encode(), headers=CLOSE)
STREAM = b"".join(
    [
        stream_head(headers=CLOSE),
        *(chunked(event(delta(WORD))) for _ in range(WORDS)),
        *(chunked(event(finish())), chunked(DONE), END),
    ]
)
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    authority = Authority()
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ca.crt").write_bytes(authority.pem)
    return Files(folder, authority.server()).settings() | {"ca_file": str(folder / "ca.crt")}


@contextmanager
def upstream(files: dict[str, str], serve: Callable[[ssl.SSLSocket], None]) -> Iterator[str]:
    """Its URL; each connection is served in a thread, by calls that block, as most servers do."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["cert_file"], files["key_file"])
    listener = socket.create_server(("127.0.0.1", 0))

    def one(raw: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as secured:
            secured.recv(65536)
            serve(secured)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


def client(url: str, files: dict[str, str]) -> HttpUpstream:
    return HttpUpstream(UpstreamSettings(url=url, ca_file=files["ca_file"]))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("farewell", [True, False], ids=["farewell", "none"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_came_before_the_end_is_read(
    files: dict[str, str], loop: str, *, stream: bool, farewell: bool
) -> None:
    """Promise 2: an answer that came whole is no failure, however much of it waits to be read."""

    def serve(secured: ssl.SSLSocket) -> None:
        secured.sendall(STREAM if stream else WHOLE)
        if farewell:
            secured.setblocking(False)
            with suppress(ssl.SSLWantReadError):
                secured.unwrap()  # says close_notify, and does not wait for ours

    async def main() -> None:
        asked = client(url, files)
        call = Call(request=wire.ChatRequest(messages=[], stream=stream))
        size = 0
        async with asked.open(call) as chunks:
            async for chunk in chunks:
                size += sum(len(piece.content) for piece in chunk.deltas)
        assert size == WORDS * len(WORD)
        await asked.aclose()

    with upstream(files, serve) as url:
        run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_who_leaves_is_gone_at_once(files: dict[str, str], loop: str) -> None:
    """Promise 6: no waiting for the farewell of an upstream that reads nothing."""
    left, gone = threading.Event(), threading.Event()

    def serve(secured: ssl.SSLSocket) -> None:
        secured.sendall(stream_head() + chunked(event(delta("a"))))
        left.wait()
        raw = socket.socket(fileno=secured.detach())
        with raw, suppress(ConnectionError):
            while raw.recv(65536):
                pass  # whatever TLS may say at the end
        gone.set()

    async def main() -> None:
        asked = client(url, files)
        call = Call(request=wire.ChatRequest(messages=[], stream=True))
        async with asked.open(call) as chunks:
            await anext(chunks)
        left.set()
        assert await asyncio.to_thread(gone.wait, 10)  # TLS itself would wait for 30
        await asked.aclose()

    with upstream(files, serve) as url:
        run(loop, main())
