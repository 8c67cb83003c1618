"""Who calls: the sidecar tells headgate, and nobody else can."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from headgate.v1 import chat_pb2_grpc
from mesh.mesh import SANDBOX, TRUSTING, UNLIMITED
from support.certificates import Authority
from support.envoy import Envoy, Files, envoy, without_tls
from support.gateway import ask, trailer
from support.processes import serving
from support.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.certificates import Pair

pytestmark = pytest.mark.timeout(120)
SEARCH, BILLING = "spiffe://mesh.example/search", "spiffe://mesh.example/billing"
# One call, and for a long time no other.
ONCE = ("--callers.rate", "0.0001", "--callers.max_wait", "0")
OK, REFUSED = "OK", "CALLER_LIMIT"


@asynccontextmanager
async def behind(
    folder: Path, name: str, authority: Authority, address: str, *flags: str
) -> AsyncIterator[Envoy]:
    """One headgate behind one of the shipped configurations."""
    files = Files(folder)
    files.put(authority.server(), authority.pem)
    with serving(folder, *SANDBOX) as sandbox:
        own = ("--upstream", f"http://{sandbox}/api", *UNLIMITED, *ONCE, *flags)
        replica = Replica(folder / "headgate.log", *own, address=address)
        await replica.start()
        try:
            config = files.config(name, [replica.address])
            config = without_tls(config) if name == "edge" else config
            async with envoy(config, folder) as running:
                yield running
        finally:
            await replica.kill()


class Caller:
    """One certificate, or none."""

    def __init__(self, address: str, authority: Authority, own: Pair | None = None) -> None:
        self._address = address
        self._credentials = grpc.ssl_channel_credentials(
            authority.pem, own and own.key, own and own.certificate
        )
        self._plain = own is None

    async def call(self, **headers: str) -> str:
        """A call on a connection of its own; OK, or the reason, or the status."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channel = (
            grpc.aio.insecure_channel(self._address, options=options)
            if self._plain
            else grpc.aio.secure_channel(self._address, self._credentials, options=options)
        )
        metadata = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        async with channel:
            stub = cast(
                "chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel)
            )
            try:
                await stub.Chat(ask(max_tokens=1), timeout=20, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return trailer(error, "headgate-reason") or error.code().name
            return OK


async def test_the_sidecar_tells_callers_apart(tmp_path: Path) -> None:
    """By their certificates, whatever they say of themselves."""
    authority = Authority()
    address = f"unix:{tmp_path}/grpc.sock"
    trusting = ("--callers.trusted_peers", "unix", "--auth.required", "true")
    async with behind(tmp_path, "sidecar", authority, address, *trusting) as running:
        search = Caller(running.address, authority, authority.sign(uris=(SEARCH,)))
        billing = Caller(running.address, authority, authority.sign(uris=(BILLING,)))
        assert await search.call() == OK
        assert await search.call() == REFUSED
        lie = f"By=spiffe://mesh.example/edge;URI={BILLING}"
        assert await search.call(x_forwarded_client_cert=lie) == REFUSED
        assert await search.call(x_headgate_caller=BILLING) == REFUSED
        assert await search.call(x_headgate_caller="somebody-new") == REFUSED
        assert await billing.call() == OK
        assert await billing.call() == REFUSED


async def test_the_sidecar_lets_nobody_in_without_a_certificate(tmp_path: Path) -> None:
    """Nor with one that another authority has signed."""
    authority, stranger = Authority(), Authority("another")
    address = f"unix:{tmp_path}/grpc.sock"
    trusting = ("--callers.trusted_peers", "unix", "--auth.required", "true")
    async with behind(tmp_path, "sidecar", authority, address, *trusting) as running:
        foreign = Caller(running.address, authority, stranger.sign(uris=(SEARCH,)))
        assert await foreign.call() == "UNAVAILABLE"
        assert await Caller(running.address, authority).call() == "UNAVAILABLE"
        known = Caller(running.address, authority, authority.sign(uris=(SEARCH,)))
        assert await known.call() == OK


@pytest.mark.parametrize("name", ["edge", "balance"])
async def test_what_callers_say_of_themselves_stops_at_the_proxy(name: str, tmp_path: Path) -> None:
    """Headgate trusts the proxy; a header that a caller wrote never comes through it."""
    authority = Authority()
    async with behind(tmp_path, name, authority, "", *TRUSTING) as running:
        caller = Caller(running.address, authority)
        assert await caller.call() == OK
        assert await caller.call() == REFUSED
        for n, header in enumerate(("x_forwarded_client_cert", "x_headgate_caller")):
            assert await caller.call(**{header: f"URI={SEARCH}{n}"}) == REFUSED
        assert await caller.call(x_forwarded_for="198.51.100.7") == REFUSED
