"""Bearer tokens over the wire: rotation, expiry, and who may do what with one."""

from __future__ import annotations

import asyncio
import hashlib
import operator
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from support.gateway import trailer
from support.raw_upstream import RawUpstream, says
from support.secure import bearer, called, calling, noticed, posted, running

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.gateway import Gateway


class TokenFile:
    """A file of tokens in clear for the test, hashed on disk."""

    def __init__(self, folder: Path, expires: float | None = None, /, **tokens: str) -> None:
        self.path = folder / "tokens"
        self.put(expires, **tokens)

    def put(self, expires: float | None = None, /, **tokens: str) -> None:
        """One token for each name."""
        end = "" if expires is None else f" {datetime.fromtimestamp(expires, UTC).isoformat()}"
        lines = [
            f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}{end}"
            for name, token in tokens.items()
        ]
        self.path.write_text("\n".join(lines) + "\n")

    def auth(self, **more: Any) -> dict[str, Any]:
        return {"required": True, "tokens_file": str(self.path), **more}


async def outcome(gateway: Gateway, token: str) -> str:
    """Of one call over gRPC, which is the same over HTTP."""
    async with calling(gateway, token=token) as caller:
        code, reason = await called(caller)
    http = {"OK": 200, "UNAUTHENTICATED": 401}[code]
    assert await posted(gateway, bearer(token) if token else {}) == (http, reason)
    assert reason == ("" if code == "OK" else code)
    return code


async def test_only_a_known_token_comes_in(tmp_path: Path) -> None:
    """Everybody else hears one status that tells nothing, and nothing goes upstream."""
    tokens = TokenFile(tmp_path, search="good-token")
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=tokens.auth()) as gateway,
    ):
        with capture_logs() as logs:
            assert await outcome(gateway, "good-token") == "OK"
            for token in ("", "guess", "good-token2", "good-toke", "a.b.c", "x" * 6000):
                assert await outcome(gateway, token) == "UNAUTHENTICATED"
        assert len(upstream.requests) == 2
        counts = gateway.security.access.refusals.counts
        assert counts == {"no credentials": 2, "unknown token": 10}
    refused = [log["why"] for log in logs if log["event"] == "refused"]
    assert sorted(refused) == ["no credentials", "unknown token"]


async def test_a_caller_hears_nothing_of_what_was_wrong(tmp_path: Path) -> None:
    """An expired token and a guess get the same words."""
    tokens = TokenFile(tmp_path, time.time() - 1, search="old-token")
    heard = []
    async with running("http://127.0.0.1:1/", auth=tokens.auth()) as gateway:
        for token in ("old-token", "guess", ""):
            async with calling(gateway, token=token) as caller:
                heard.append(await caller.refused_chat())
        counts = gateway.security.access.refusals.counts
    assert {error.details() for error in heard} == {
        "no valid credentials; send `authorization: Bearer TOKEN` or a client certificate"
    }
    assert {trailer(error, "grpc-retry-pushback-ms") for error in heard} == {"-1"}
    assert all(trailer(error, "x-request-id") for error in heard)
    assert set(counts) == {"expired token", "unknown token", "no credentials"}


async def test_no_call_fails_while_tokens_are_rotated(tmp_path: Path) -> None:
    """The new one is at work before the old one goes; after that the old one is refused."""
    tokens = TokenFile(tmp_path, a="token-0")
    at_work = "token-0"
    outcomes: list[str] = []
    rounds = [0, 0, 0]

    answered = asyncio.Condition()

    async def call(number: int, gateway: Gateway, done: asyncio.Event) -> None:
        while not done.is_set():
            outcomes.append(await outcome(gateway, at_work))
            rounds[number] += 1
            async with answered:
                answered.notify_all()

    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=tokens.auth()) as gateway,
    ):
        done = asyncio.Event()
        calls = [asyncio.create_task(call(number, gateway, done)) for number in range(3)]
        for number in range(1, 10):
            tokens.put(a=at_work, b=f"token-{number}")
            await noticed(gateway.security)
            old, at_work = at_work, f"token-{number}"
            # What was sent with the old one is answered before the old one goes.
            before = list(rounds)
            async with answered:
                await answered.wait_for(lambda: all(map(operator.gt, rounds, before)))  # noqa: B023
            tokens.put(b=at_work)
            await noticed(gateway.security)
            assert await outcome(gateway, old) == "UNAUTHENTICATED"
        done.set()
        await asyncio.gather(*calls)
    assert set(outcomes) == {"OK"}


@pytest.mark.parametrize("fault", ["no tokens at all", "search plain-token-by-mistake", None])
async def test_a_broken_file_leaves_the_old_tokens(tmp_path: Path, fault: str | None) -> None:
    """With one line in the log that quotes nothing of it."""
    tokens = TokenFile(tmp_path, search="good-token")
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=tokens.auth()) as gateway,
    ):
        with capture_logs() as logs:
            if fault is None:
                tokens.path.unlink()
            else:
                tokens.path.write_text(fault)
            await noticed(gateway.security)
            await noticed(gateway.security)
        assert await outcome(gateway, "good-token") == "OK"
    assert [(log["event"], log["what"]) for log in logs] == [
        ("the old ones stay at work", "tokens")
    ]
    assert "by-mistake" not in str(logs)


async def test_each_caller_may_call_what_its_table_says(tmp_path: Path) -> None:
    """Over both faces; GET /v1/models is a method like the others."""
    tokens = TokenFile(tmp_path, chats="chats-token", lists="lists-token")
    callers: dict[str, Any] = {
        "methods": [],
        "chats": {"methods": ["Chat"]},
        "lists": {"methods": ["Models"]},
    }
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=tokens.auth(), callers=callers) as gateway,
    ):
        async with calling(gateway, token="chats-token") as caller:
            await caller.chat()
            error = await caller.refused()
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error.details() == "this caller may not call StreamChat (callers.methods)"
        models = {}
        async with aiohttp.ClientSession(f"http://{gateway.http_address}") as client:
            for name in ("chats", "lists", "nobody"):
                headers = bearer(f"{name}-token")
                async with client.get("/v1/models", headers=headers) as reply:
                    models[name] = reply.status, reply.headers.get("www-authenticate")
            for path in ("/healthz", "/nowhere"):
                async with client.get(path) as reply:
                    models[path] = reply.status, None
        assert models == {
            "chats": (403, None),
            "lists": (200, None),
            "nobody": (401, "Bearer"),
            "/healthz": (200, None),
            "/nowhere": (404, None),
        }
        assert await posted(gateway, bearer("lists-token")) == (
            403,
            "PERMISSION_DENIED",
        )


async def test_health_asks_for_no_credentials_and_reflection_does(tmp_path: Path) -> None:
    """Probes have none; the contract is for those who may call."""
    tokens = TokenFile(tmp_path, tools="tools-token", others="others-token")
    callers: dict[str, Any] = {"others": {"methods": ["Chat"]}}
    sections: dict[str, Any] = {"auth": tokens.auth(), "callers": callers}
    async with (
        running("http://127.0.0.1:1/", server={"reflection": True}, **sections) as gateway,
        calling(gateway) as caller,
    ):
        health: Any = health_pb2_grpc.HealthStub(caller.channel)
        request = health_pb2.HealthCheckRequest(service="headgate.v1.ChatService")
        serving = health_pb2.HealthCheckResponse.SERVING
        assert (await health.Check(request)).status == serving
        watch = health.Watch(request)
        assert (await watch.read()).status == serving
        watch.cancel()

        channel: Any = caller.channel
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        found: dict[str, Any] = {}
        for token in ("", "others-token", "tools-token"):
            metadata = tuple(bearer(token).items())
            try:
                async for reply in reflection.ServerReflectionInfo(iter(asked), metadata=metadata):
                    found[token] = len(reply.list_services_response.service)
            except grpc.aio.AioRpcError as error:
                found[token] = error.code().name
    assert found == {
        "": "UNAUTHENTICATED",
        "others-token": "PERMISSION_DENIED",
        "tools-token": 3,
    }


async def test_a_flood_of_guesses_is_counted_and_not_logged(tmp_path: Path) -> None:
    """One line, and a good caller is served as before."""
    tokens = TokenFile(tmp_path, search="good-token")
    async with (
        RawUpstream(says("Hello")) as upstream,
        running(upstream.url, auth=tokens.auth()) as gateway,
        calling(gateway) as caller,
    ):
        with capture_logs() as logs:
            guesses = [caller.refused_chat() for _ in range(300)]
            for error in await asyncio.gather(*guesses):
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert await outcome(gateway, "good-token") == "OK"
        assert gateway.security.access.refusals.counts == {"no credentials": 300}
    refused = [log["caller"] for log in logs if log["event"] == "refused"]
    assert refused == ["127.0.0.1"]
    codes = [log["code"] for log in logs if log["event"] == "call"]
    assert codes.count("UNAUTHENTICATED") == 5
    assert codes.count("OK") == 2
