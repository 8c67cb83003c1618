"""Make calls with copies of the stubs, in whatever environment this runs.

    python protos/probe_stubs.py PACKAGE...

`check_floors.py` runs it; several packages stand side by side in one process, and each one's
client also speaks with each other's server.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import version
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

if TYPE_CHECKING:
    from types import ModuleType


class Stubs(NamedTuple):
    """One copy: its messages and its service."""

    messages: ModuleType
    service: ModuleType


def main(packages: list[str]) -> None:
    copies = [
        Stubs(import_module(f"{name}.v1.chat_pb2"), import_module(f"{name}.v1.chat_pb2_grpc"))
        for name in packages
    ]
    _check(len({copy.messages.ChatRequest for copy in copies}) == 1, "two classes for one message")
    for server, client in product(copies, copies):
        _call(server, client)
    versions = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "protobuf"))
    sys.stdout.write(f"{versions}: {' and '.join(packages)} work\n")


def _call(server_side: Stubs, client_side: Stubs) -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    server_side.service.add_ChatServiceServicer_to_server(_echo(server_side), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pb = client_side.messages
    request = pb.ChatRequest(
        messages=[pb.ChatMessage(role=pb.ROLE_USER, content="naïve 𝄞")],
        temperature=0.0,
        extra={"top_k": 40},
        labels={"team": "a"},
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = client_side.service.ChatServiceStub(channel)
            whole = stub.Chat(request, timeout=30)
            events = list(stub.StreamChat(request, timeout=30))
    finally:
        server.stop(None).wait()
    _check(whole.choices[0].message == request.messages[0], "a message came back changed")
    _check(whole.extra == request.extra, "a Struct came back changed")
    _check([event.WhichOneof("event") for event in events] == ["delta"], "not the event sent")
    _check(events[0].delta.content == "naïve 𝄞", "a delta came back changed")


def _echo(stubs: Stubs) -> Any:
    pb = stubs.messages

    class Echo(stubs.service.ChatServiceServicer):  # type: ignore[misc, name-defined]
        def Chat(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
            choice = pb.ChatChoice(message=request.messages[0])
            return pb.ChatResponse(choices=[choice], extra=request.extra)

        def StreamChat(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
            delta = pb.ChatDelta(content=request.messages[0].content, position=1)
            yield pb.StreamChatResponse(delta=delta)

    return Echo()


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise SystemExit(message)


if __name__ == "__main__":
    main(sys.argv[1:])
