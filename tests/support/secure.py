"""Gateways with TLS and tokens, and callers with certificates."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc

from headgate.gateway import Gateway
from support.gateway import Caller, settings, trailer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from headgate.security import Security
    from support.certificates import Authority, Pair

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}


@asynccontextmanager
async def running(url: str, **sections: Any) -> AsyncIterator[Gateway]:
    """A gateway with both faces on free ports."""
    gateway = Gateway(settings(url, http_listen="127.0.0.1:0", **sections))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(0)


@asynccontextmanager
async def calling(
    gateway: Gateway, authority: Authority | None = None, own: Pair | None = None, token: str = ""
) -> AsyncIterator[Caller]:
    """A caller on a connection of its own; plain text without an authority to trust."""
    # Else channels of one process with one target share connections.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    if authority is None:
        channel = grpc.aio.insecure_channel(gateway.grpc_address, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(
            authority.pem, own and own.key, own and own.certificate
        )
        channel = grpc.aio.secure_channel(gateway.grpc_address, credentials, options=options)
    async with channel:
        caller = Caller(gateway, channel)
        if token:
            caller.metadata = tuple(bearer(token).items())
        yield caller


def bearer(token: str) -> dict[str, str]:
    """The header of a call with a token."""
    return {"authorization": f"Bearer {token}"}


def client_context(
    folder: Path, authority: Authority | None, own: Pair | None = None
) -> ssl.SSLContext:
    """For an HTTP client; OpenSSL takes a client's own certificate from a file only."""
    context = ssl.create_default_context(cadata=authority.pem.decode() if authority else None)
    if own is not None:
        file = folder / "client.pem"
        file.write_bytes(own.certificate + own.key)
        context.load_cert_chain(file)
    return context


async def called(caller: Caller) -> tuple[str, str]:
    """Chat over gRPC; the status and the reason in its trailer."""
    try:
        await caller.chat()
    except grpc.aio.AioRpcError as error:
        return error.code().name, trailer(error, "headgate-reason") or ""
    return "OK", ""


async def posted(
    gateway: Gateway,
    headers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Ask over HTTP on a connection of its own; the status and the reason in its header."""
    scheme = "https" if tls else "http"
    async with (
        aiohttp.ClientSession(f"{scheme}://{gateway.http_address}") as client,
        client.post("/api", json=HELLO, headers=headers, ssl=tls or True) as reply,
    ):
        return reply.status, reply.headers.get("x-headgate-reason", "")


async def noticed(security: Security) -> None:
    """Files that have changed are at work after the second look."""
    await security.look()
    await security.look()
