"""A caller over gRPC, gRPC-Web and REST asks the same, and hears the same."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import aiohttp
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, Parse

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from mesh.mesh import FAST, SANDBOX, Mesh, mesh
from support.gateway import ask, text, trailer
from support.grpc_web import grpc_web
from support.processes import serving
from support.redis_server import needs_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = [needs_redis, pytest.mark.timeout(120)]
SERVICE = "headgate.v1.ChatService"
ORIGIN = "https://chat.example.org"
# What each reason is over REST, where Envoy makes the status from gRPC's.
HTTP = {"INVALID_ARGUMENT": 400, "RESOURCE_EXHAUSTED": 429, "NOT_FOUND": 404}


class Faces:
    """The same caller in three ways; each gives the text, or the status and the reason."""

    def __init__(self, channel: grpc.aio.Channel, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._stub = cast(
            "chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel)
        )

    async def ask(self, request: pb.ChatRequest, *, stream: bool) -> list[tuple[str, str]]:
        ways = (self._grpc, self._grpc_web, self._rest)
        return [await way(request, stream) for way in ways]

    async def _grpc(self, request: pb.ChatRequest, stream: bool) -> tuple[str, str]:
        try:
            if stream:
                return "OK", text([event async for event in self._stub.StreamChat(request)])
            return "OK", (await self._stub.Chat(request)).choices[0].message.content
        except grpc.aio.AioRpcError as error:
            return error.code().name, trailer(error, "headgate-reason") or ""

    async def _grpc_web(self, request: pb.ChatRequest, stream: bool) -> tuple[str, str]:
        method = f"{SERVICE}/{'StreamChat' if stream else 'Chat'}"
        reply = await grpc_web(self.session, method, request, origin=ORIGIN)
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        exposed = reply.headers["access-control-expose-headers"].split(",")
        if (code := _code(int(reply.trailers["grpc-status"]))) != "OK":
            assert {"grpc-status", "headgate-reason"} <= {*exposed}
            return code, reply.trailers["headgate-reason"]
        if stream:
            return code, text(pb.StreamChatResponse.FromString(one) for one in reply.messages)
        (message,) = reply.messages
        return code, pb.ChatResponse.FromString(message).choices[0].message.content

    async def _rest(self, request: pb.ChatRequest, stream: bool) -> tuple[str, str]:
        body = MessageToDict(request, preserving_proto_field_name=True)
        path = "/v1/chat:stream" if stream else "/v1/chat"
        async with self.session.post(path, json=body) as reply:
            if reply.status != 200:
                said = await reply.json()
                code = _code(said["code"])
                assert reply.status == HTTP[code]
                reason = next(d["reason"] for d in said["details"] if "reason" in d)
                assert reply.headers["headgate-reason"] == reason
                return code, reason
            if stream:
                assert reply.content_type == "text/event-stream"
                events = (await reply.text()).split("\n\n")
                assert events.pop() == ""
                return "OK", text(_event(one) for one in events)
            return "OK", Parse(await reply.text(), pb.ChatResponse()).choices[0].message.content


def _event(lines: str) -> pb.StreamChatResponse:
    """A server-sent event of one line."""
    name, _, data = lines.partition(": ")
    assert name == "data"
    return Parse(data, pb.StreamChatResponse())


def _code(number: int) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


@asynccontextmanager
async def faces(running: Mesh, **headers: str) -> AsyncIterator[Faces]:
    """Callers of a mesh."""
    address = running.envoy.address
    async with (
        grpc.aio.insecure_channel(address) as channel,
        aiohttp.ClientSession(f"http://{address}", headers=headers) as session,
    ):
        yield Faces(channel, session)


async def test_every_face_gives_the_same_text(tmp_path: Path) -> None:
    """With temperature 0 the sandbox's model has one answer."""
    question = ask("What is a headgate?", temperature=0, max_tokens=60)
    with serving(tmp_path, *SANDBOX) as sandbox:
        url = f"http://{sandbox}/api"
        async with mesh(tmp_path, url, *FAST, front="edge") as running, faces(running) as callers:
            answers = [
                *await callers.ask(question, stream=False),
                *await callers.ask(question, stream=True),
            ]
            assert answers[0][0] == "OK"
            assert len(answers[0][1]) > 100
            assert answers == [answers[0]] * 6


async def test_every_face_gives_the_same_refusals(tmp_path: Path) -> None:
    """Of what cannot be asked, and of what would have to wait too long."""
    slow = ("--throttle.rate", "0.01", "--throttle.min_interval", "0", "--retry.max_attempts", "1")
    hurry = pb.Scheduling(max_queue_wait=Duration(nanos=1_000_000))
    with serving(tmp_path, *SANDBOX) as sandbox:
        url = f"http://{sandbox}/api"
        async with mesh(tmp_path, url, *slow, front="edge") as running, faces(running) as callers:
            for stream in (False, True):
                said = await callers.ask(ask(temperature=3), stream=stream)
                assert said == [("INVALID_ARGUMENT", "INVALID_REQUEST")] * 3
            await callers.ask(
                ask(max_tokens=1, scheduling=hurry), stream=False
            )  # whose is the slot
            for stream in (False, True):
                said = await callers.ask(ask(scheduling=hurry), stream=stream)
                assert said == [("RESOURCE_EXHAUSTED", "WAIT_TOO_LONG")] * 3


async def test_every_face_gives_the_same_failures(tmp_path: Path) -> None:
    """The upstream has no such endpoint; every attempt says so."""
    with serving(tmp_path, *SANDBOX) as sandbox:
        url = f"http://{sandbox}/nowhere"
        async with mesh(tmp_path, url, *FAST, front="edge") as running, faces(running) as callers:
            for stream in (False, True):
                said = await callers.ask(ask(), stream=stream)
                assert said == [("NOT_FOUND", "UPSTREAM_NOT_FOUND")] * 3
