"""A caller over gRPC-Web, as a browser's library is one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import aiohttp
    from google.protobuf.message import Message

_TRAILERS = 0x80


class Reply(NamedTuple):
    """What came.

    Attributes:
        messages: serialized.
        trailers: with `grpc-status`; where there was no message, the headers.
        headers: with lower-case names.
    """

    messages: list[bytes]
    trailers: dict[str, str]
    headers: dict[str, str]


async def grpc_web(
    session: aiohttp.ClientSession, method: str, request: Message, **headers: str
) -> Reply:
    """Make a call, such as `headgate.v1.ChatService/Chat`."""
    body = request.SerializeToString()
    own = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    async with session.post(
        f"/{method}", data=struct.pack(">BI", 0, len(body)) + body, headers=own | headers
    ) as reply:
        assert reply.status == 200
        told = {name.lower(): value for name, value in reply.headers.items()}
        return _read(await reply.read(), told)


def _read(body: bytes, headers: dict[str, str]) -> Reply:
    messages, trailers = [], headers
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        frame, body = body[5 : 5 + length], body[5 + length :]
        if flags & _TRAILERS:
            lines = [line.partition(":") for line in frame.decode().splitlines()]
            trailers = {name.lower(): value.strip() for name, _, value in lines}
        else:
            messages.append(frame)
    return Reply(messages, trailers, headers)
