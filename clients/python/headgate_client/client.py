"""The two clients. What they share, and that is all but the waiting, is in `Caller`."""

from __future__ import annotations

import asyncio
import threading
import weakref
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, cast

import grpc

from headgate_client.channel import DEFAULT_TARGET, channel_options
from headgate_client.credentials import tls_credentials
from headgate_client.metadata import metadata_pairs
from headgate_client.request import build_request
from headgate_client.status import translated
from headgate_client.stream import AsyncStream, Stream, cancellation_told
from headgate_client.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from typing import Unpack

    from headgate_client.credentials import Pem
    from headgate_client.messages import Messages
    from headgate_client.metadata import Metadata
    from headgate_client.request import CallParams
    from headgate_client.stream import OnFinished
    from headgate_client.v1 import chat_pb2 as pb

# 30 years: gRPC takes a deadline that is much further away for one that has passed.
_FOREVER: Final = 1e9
_SECONDS: Final = "allowed: a number of seconds, inf for no timeout"
_TARGETS: Final = "allowed is gRPC's name of the server, such as host:port"


class Outgoing(NamedTuple):
    """One call, ready to be made."""

    request: pb.ChatRequest
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...]


class Caller:
    """Where calls go, and what goes with each of them."""

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None,
        server_name: str | None,
        token: str | None,
        metadata: Metadata | None,
        timeout: float | None,
    ) -> None:
        if server_name is not None and credentials is None:
            raise ValueError("server_name is for TLS; give ca or credentials too")
        self.target: str = _named(target)
        self._credentials = credentials
        self._options = channel_options(server_name)
        self._timeout = _seconds(timeout)
        self._metadata = (*metadata_pairs(metadata), *_bearer(token))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target}>"

    def _outgoing(self, messages: Messages, params: CallParams) -> Outgoing:
        fields: dict[str, Any] = dict(params)
        timeout = fields.pop("timeout", None)
        return Outgoing(
            timeout=self._timeout if timeout is None else _seconds(timeout),
            metadata=(*self._metadata, *metadata_pairs(fields.pop("metadata", None))),
            request=build_request(messages, fields),
        )


def _named(target: str) -> str:
    if not isinstance(target, str):
        raise TypeError(f"target is {target!r}; {_TARGETS}")
    if not target.strip():
        raise ValueError(f"target is empty; {_TARGETS}")
    return target


def _seconds(timeout: float | None) -> float | None:
    """The timeout as gRPC wants it: None for none."""
    if timeout is None:
        return None
    try:
        if timeout > -inf:
            return timeout if timeout < _FOREVER else None
    except TypeError:
        raise TypeError(f"timeout is {timeout!r}; {_SECONDS}") from None
    raise ValueError(f"timeout is {timeout!r}; {_SECONDS}")


def _bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    if token is None:
        return ()
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise ValueError("the token is empty or not printable ASCII; allowed is one line of it")
    return (("authorization", f"Bearer {token}"),)


class Client(Caller):
    """A headgate, for programs with threads. The channel opens at the first call.

    gRPC's channels do not survive a fork: make the client in the process that uses it.

    Args:
        target: gRPC's name of the server: `host:port`, `dns:///host:port`, `unix:/path`.
        ca: a PEM file of the authorities to trust, or its bytes; plaintext without `ca`, `cert`
            and `credentials`.
        cert: a PEM file with the client's own certificate, where the server asks for one.
        key: a PEM file with the certificate's key.
        credentials: in place of these, as from grpc.ssl_channel_credentials().
        server_name: the name to expect in the server's certificate, where it is not the target's.
        token: sent with every call as `authorization: Bearer TOKEN`.
        metadata: further metadata for every call.
        timeout: seconds for every call, streams included, that does not say otherwise.
        channel: a ready channel to use instead of opening one; it is yours to close.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        ca: Pem | None = None,
        cert: Pem | None = None,
        key: Pem | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        token: str | None = None,
        metadata: Metadata | None = None,
        timeout: float | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        credentials = tls_credentials(credentials, ca=ca, cert=cert, key=key)
        super().__init__(
            target,
            credentials=credentials,
            server_name=server_name,
            token=token,
            metadata=metadata,
            timeout=timeout,
        )
        self._lock = threading.Lock()
        self._owned: grpc.Channel | None = None
        self._stub = chat_pb2_grpc.ChatServiceStub(channel) if channel is not None else None

    def chat(self, messages: Messages, **params: Unpack[CallParams]) -> pb.ChatResponse:
        """Ask, and wait for the whole answer.

        Raises:
            HeadgateError: the call failed.
            TypeError, ValueError: the request cannot be built; nothing was sent.
        """
        call = self._outgoing(messages, params)
        with translated():
            return self._service().Chat(call.request, timeout=call.timeout, metadata=call.metadata)

    def stream_chat(self, messages: Messages, **params: Unpack[CallParams]) -> Stream:
        """Ask, and read the answer while it is made; errors as `chat`, while iterating."""
        return self._stream(messages, params)

    def _stream(
        self, messages: Messages, params: CallParams, on_finished: OnFinished | None = None
    ) -> Stream:
        call = self._outgoing(messages, params)
        stream = self._service().StreamChat(
            call.request, timeout=call.timeout, metadata=call.metadata
        )
        return Stream(stream, on_finished)

    def _service(self) -> chat_pb2_grpc.ChatServiceStub:
        with self._lock:
            if self._stub is None:
                self._owned = self._open()
                self._stub = chat_pb2_grpc.ChatServiceStub(self._owned)
            return self._stub

    def _open(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self.target, self._options)
        return grpc.secure_channel(self.target, self._credentials, self._options)

    def close(self) -> None:
        """Close the channel, and with it every running call; a later call opens a new one."""
        with self._lock:
            if self._owned is not None:
                self._owned.close()
                self._owned = self._stub = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Caller):
    """As Client, for asyncio. Make one for each event loop; the channel opens at the first call."""

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        ca: Pem | None = None,
        cert: Pem | None = None,
        key: Pem | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        token: str | None = None,
        metadata: Metadata | None = None,
        timeout: float | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        credentials = tls_credentials(credentials, ca=ca, cert=cert, key=key)
        super().__init__(
            target,
            credentials=credentials,
            server_name=server_name,
            token=token,
            metadata=metadata,
            timeout=timeout,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: weakref.WeakSet[AsyncStream] = weakref.WeakSet()
        self._owned: grpc.aio.Channel | None = None
        self._stub = _async_stub(channel) if channel is not None else None

    async def chat(self, messages: Messages, **params: Unpack[CallParams]) -> pb.ChatResponse:
        """As Client.chat."""
        call = self._outgoing(messages, params)
        with translated(), cancellation_told():
            return await self._service().Chat(
                call.request, timeout=call.timeout, metadata=call.metadata
            )

    def stream_chat(self, messages: Messages, **params: Unpack[CallParams]) -> AsyncStream:
        """As Client.stream_chat; not to be awaited: iterate, or use it in an `async with`."""
        return self._stream(messages, params)

    def _stream(
        self, messages: Messages, params: CallParams, on_finished: OnFinished | None = None
    ) -> AsyncStream:
        call = self._outgoing(messages, params)
        running = self._service().StreamChat(
            call.request, timeout=call.timeout, metadata=call.metadata
        )
        stream = AsyncStream(running, on_finished)
        self._streams.add(stream)
        return stream

    def _service(self) -> chat_pb2_grpc.ChatServiceAsyncStub:
        loop = asyncio.get_running_loop()
        if self._stub is None:
            self._owned = self._open()
            self._stub = _async_stub(self._owned)
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError("this AsyncClient belongs to another event loop; make one for each")
        return self._stub

    def _open(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.target, self._options)
        return grpc.aio.secure_channel(self.target, self._credentials, self._options)

    async def close(self) -> None:
        """Close the channel, and with it every running call; a later call opens a new one."""
        owned = self._owned
        if owned is not None:
            self._owned = self._stub = self._loop = None
            # Before 1.83 grpcio closes only those streams that a task is reading at the moment.
            for stream in list(self._streams):
                stream.cancel()
            await owned.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _async_stub(channel: grpc.aio.Channel) -> chat_pb2_grpc.ChatServiceAsyncStub:
    # One generated class serves both kinds of channel; the other type is for checkers only.
    return cast("chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel))
