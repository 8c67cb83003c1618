"""The Python client's conformance program; tests/conformance/README.md says what it does."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration

from headgate_client import AsyncClient, ChatRequest, HeadgateError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from headgate_client import AsyncStream

TRAILERS = ("x-request-id", "grpc-retry-pushback-ms")


class Witness:
    """Makes one call, and remembers what it saw of it."""

    def __init__(self, client: AsyncClient, line: dict[str, Any]) -> None:
        self._client = client
        self._line = line
        self._cancel: dict[str, int] = line.get("cancel", {})
        self._messages: list[Message] = []
        self._names: list[str] = []
        self._text: dict[str, str] = {}

    async def see(self) -> dict[str, Any]:
        """The call's object of the result."""
        began = time.monotonic()
        ask = self._chat if self._line["method"] == "Chat" else self._stream_chat
        end: dict[str, Any] = {"code": "OK", "message": "", "reason": "", "retry_delay_ms": None}
        end |= {"metadata": {}, "violations": [], "trailers": {}}
        try:
            await ask()
        except HeadgateError as error:
            end |= _told(error)
        except asyncio.CancelledError:  # of the task that waited for a whole answer
            end["code"] = "CANCELLED"
        return end | {
            "events": [[name, len(list(run))] for name, run in groupby(self._names)],
            "text": self._text,
            "messages": [base64.b64encode(m.SerializeToString()).decode() for m in self._messages],
            "elapsed_ms": round((time.monotonic() - began) * 1000),
        }

    async def _chat(self) -> None:
        task = asyncio.ensure_future(self._client.chat(**self._call()))
        self._cancel_later(task)
        answer = await task
        self._messages.append(answer)
        for choice in answer.choices:
            self._add(choice.index, choice.message.content)

    async def _stream_chat(self) -> None:
        stream = self._client.stream_chat(**self._call())
        self._cancel_later(stream)
        await (self._read_text(stream) if self._line.get("helper") else self._read(stream))

    async def _read(self, stream: AsyncStream) -> None:
        async for event in stream:
            name = event.WhichOneof("event") or ""
            self._messages.append(event)
            self._names.append(name)
            if name == "delta":
                self._add(event.delta.choice_index, event.delta.content)
            await self._between(stream, name)

    async def _read_text(self, stream: AsyncStream) -> None:
        pieces = 0
        async for piece in stream.text():
            pieces += 1
            self._add(0, piece)
            if pieces == self._cancel.get("deltas"):
                stream.cancel()

    async def _between(self, stream: AsyncStream, name: str) -> None:
        """After each event: cancel, or pause, as the line says."""
        wanted = self._cancel.get("deltas" if name == "delta" else name)
        if wanted is not None and self._names.count(name) == wanted:
            stream.cancel()
        if len(self._names) == 1:
            await asyncio.sleep(self._line.get("pause_ms", 0) / 1000)

    def _cancel_later(self, call: Any) -> None:
        if "ms" in self._cancel:
            asyncio.get_running_loop().call_later(self._cancel["ms"] / 1000, call.cancel)

    def _call(self) -> dict[str, Any]:
        request = ChatRequest.FromString(base64.b64decode(self._line["request"]))
        if "fill" in self._line:
            request.messages[-1].content = "a" * self._line["fill"]
        timeout = self._line.get("timeout_ms")
        seconds = None if timeout is None else timeout / 1000
        return _params(request) | {"timeout": seconds, "metadata": self._line.get("metadata")}

    def _add(self, choice: int, content: str) -> None:
        if content:
            self._text[str(choice)] = self._text.get(str(choice), "") + content


def _params(request: ChatRequest) -> dict[str, Any]:
    """What the client's methods are given for a request that came ready-made."""
    params: dict[str, Any] = {"messages": []}
    for field, value in request.ListFields():
        if field.name in ("stream_options", "scheduling"):
            params |= {each.name: _natural(said) for each, said in value.ListFields()}
        else:
            params[field.name] = value
    return params


def _natural(value: Any) -> Any:
    return value.ToTimedelta() if isinstance(value, Duration) else value


def _told(error: HeadgateError) -> dict[str, Any]:
    return {
        "code": error.code().name,
        "message": error.details(),
        "reason": error.reason,
        "retry_delay_ms": None if error.retry_after is None else round(error.retry_after * 1000),
        "metadata": error.metadata,
        "violations": [list(violation) for violation in error.violations],
        "trailers": _trailers(error.trailing_metadata()),
    }


def _trailers(pairs: Any) -> dict[str, str]:
    return {key: value for key, value in pairs if key.startswith("headgate-") or key in TRAILERS}


async def _serve(arguments: argparse.Namespace) -> None:
    async with _client(arguments) as client:
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(line)
            witnesses = [Witness(client, wanted) for _ in range(wanted.get("count", 1))]
            calls = await asyncio.gather(*(witness.see() for witness in witnesses))
            sys.stdout.write(json.dumps({"name": wanted["name"], "calls": calls}) + "\n")
            sys.stdout.flush()


def _client(arguments: argparse.Namespace) -> AsyncClient:
    return AsyncClient(
        arguments.target,
        ca=arguments.ca,
        cert=arguments.cert,
        key=arguments.key,
        server_name=arguments.authority,
        token=arguments.token,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca", type=Path, help="a PEM file of the authorities to trust")
    parser.add_argument("--cert", type=Path, help="a PEM file with the client's certificate")
    parser.add_argument("--key", type=Path, help="a PEM file with the certificate's key")
    parser.add_argument("--token", help="sent with every call")
    parser.add_argument("--authority", help="the name that the server's certificate must have")
    parser.add_argument("target", help="the gateway's address")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
