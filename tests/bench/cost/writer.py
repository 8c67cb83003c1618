"""A server that does nothing but write: what grpc.aio itself costs for a message, on this machine.

    python writer.py [--gap SECONDS]

Prints its port. `StreamChat` writes `max_tokens` deltas, one each gap; `Chat` answers at once. What
the gateway costs is held against it in the same run, so that the ratio holds on any machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import grpc
import uvloop

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

WHOLE = pb.ChatResponse(
    id="chatcmpl-1", choices=[pb.ChatChoice(message=pb.ChatMessage(content="The sea. " * 28))]
)


class Writer(chat_pb2_grpc.ChatServiceServicer):
    """Both methods."""

    def __init__(self, gap: float) -> None:
        self._gap = gap

    async def Chat(self, request: Any, context: Any) -> pb.ChatResponse:  # noqa: N802
        del request, context
        return WHOLE

    async def StreamChat(self, request: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        loop = asyncio.get_running_loop()
        due = loop.time()
        for position in range(1, request.max_tokens + 1):
            delta = pb.ChatDelta(content=" 00000000", position=position)
            await context.write(pb.StreamChatResponse(delta=delta))
            due += self._gap
            await asyncio.sleep(due - loop.time())


async def serve(gap: float) -> None:
    server = grpc.aio.server()
    chat_pb2_grpc.add_ChatServiceServicer_to_server(Writer(gap), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between two messages")
    uvloop.run(serve(parser.parse_args().gap))
