"""Sandbox, gateway and client in one go: streams an answer and says what happened."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import click
import grpc
import uvloop

from headgate.config import LogSettings, Settings
from headgate.gateway import Gateway
from headgate.logs import configure_logs
from headgate.server import in_front_of_sandbox
from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

DEADLINE = 60.0


def run_demo(prompt: str) -> int:
    """Stream the sandbox's answer to a prompt.

    Returns:
        The exit status: 0 when the stream finished.
    """
    # A shell passes on bytes that are no UTF-8, and protobuf takes none.
    prompt = prompt.encode(errors="surrogateescape").decode(errors="replace")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_demo(prompt))


async def _demo(prompt: str) -> int:
    async with AsyncExitStack() as stack:
        settings = Settings(listen="127.0.0.1:0", log=LogSettings(access="off"))
        configure_logs(settings.log)
        settings = await in_front_of_sandbox(settings, stack)
        gateway = Gateway(settings)
        await gateway.start()
        stack.push_async_callback(gateway.stop, 0)
        click.echo(f"upstream  {settings.upstream.url}  (the embedded sandbox, no language model)")
        click.echo(f"gateway   {gateway.grpc_address}  headgate.v1.ChatService/StreamChat\n")
        click.echo(f"> {prompt}\n")
        async with grpc.aio.insecure_channel(gateway.grpc_address) as channel:
            return await _stream(channel, prompt)


async def _stream(channel: grpc.aio.Channel, prompt: str) -> int:
    stub = cast("chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel))
    request = pb.ChatRequest(messages=[pb.ChatMessage(role=pb.ROLE_USER, content=prompt)])
    finished, messages = None, 0
    try:
        async for event in stub.StreamChat(request, timeout=DEADLINE):
            messages += 1
            click.echo(event.delta.content, nl=False)
            if event.HasField("finished"):
                finished = event.finished
    except grpc.aio.AioRpcError as error:
        click.echo(f"\n\nthe call failed: {error.code().name}: {error.details()}", err=True)
        return 1
    if finished is None:
        click.echo("\n\nthe stream ended without its `finished` event", err=True)
        return 1
    click.echo(f"\n\n{_summary(finished, messages)}")
    return 0


def _summary(finished: pb.StreamFinished, messages: int) -> str:
    gateway, usage = finished.gateway, finished.usage
    reasons = ", ".join(choice.finish_reason_raw for choice in finished.choices)
    return (
        f"finished  {reasons}; {usage.completion_tokens} tokens in {messages} messages;"
        f" first after {_ms(gateway.time_to_first_delta)}, in all {_ms(gateway.upstream_time)}"
        f" upstream and {_ms(gateway.overhead)} in the gateway; attempts: {gateway.attempts}"
    )


def _ms(duration: Duration) -> str:
    return f"{duration.ToMilliseconds()} ms"
