"""A conformance program over a generated stub and nothing else, for a seventh language to copy.

It knows the contract's types and gRPC, and none of google.rpc's; README.md says what it does.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

PROTOS = Path(__file__).resolve().parents[2] / "protos"


class Witness:
    """Makes one call, and remembers what it saw of it."""

    def __init__(self, stub: Any, line: dict[str, Any], token: str | None) -> None:
        self._stub = stub
        self._line = line
        self._cancel: dict[str, int] = line.get("cancel", {})
        self._metadata = list(line.get("metadata", {}).items())
        if token is not None:
            self._metadata.append(("authorization", f"Bearer {token}"))
        self._messages: list[Any] = []
        self._names: list[str] = []
        self._text: dict[str, str] = {}

    def see(self) -> dict[str, Any]:
        """The call's object of the result, without what only google.rpc's types tell."""
        began = time.monotonic()
        end: dict[str, Any] = {"code": "OK", "message": "", "reason": "", "retry_delay_ms": None}
        try:
            end["trailers"] = _shown(self._call().trailing_metadata())
        except grpc.FutureCancelledError:  # what a call says that was cancelled here
            end |= {"code": "CANCELLED", "trailers": {}}
        except grpc.RpcError as error:
            end |= _told(error)
        return end | {
            "events": [[name, len(list(run))] for name, run in groupby(self._names)],
            "text": self._text,
            "messages": [base64.b64encode(m.SerializeToString()).decode() for m in self._messages],
            "elapsed_ms": (time.monotonic() - began) * 1000,
        }

    def _call(self) -> Any:
        """The call, once it has ended well."""
        request = pb.ChatRequest.FromString(base64.b64decode(self._line["request"]))
        if "fill" in self._line:
            request.messages[-1].content = "a" * self._line["fill"]
        timeout = self._line["timeout_ms"] / 1000 if "timeout_ms" in self._line else None
        streams = self._line["method"] == "StreamChat"
        method = self._stub.StreamChat if streams else self._stub.Chat.future
        call = method(request, timeout=timeout, metadata=self._metadata)
        if "ms" in self._cancel:
            threading.Timer(self._cancel["ms"] / 1000, call.cancel).start()
        if streams:
            self._read(call)
        else:
            self._take(call.result())
        return call

    def _take(self, answer: pb.ChatResponse) -> None:
        self._messages.append(answer)
        for choice in answer.choices:
            self._add(choice.index, choice.message.content)

    def _read(self, call: Any) -> None:
        for event in call:
            name = event.WhichOneof("event") or ""
            self._messages.append(event)
            self._names.append(name)
            if name == "delta":
                self._add(event.delta.choice_index, event.delta.content)
            if len(self._messages) == 1:
                time.sleep(self._line.get("pause_ms", 0) / 1000)
            wanted = self._cancel.get("deltas" if name == "delta" else name)
            if wanted is not None and self._names.count(name) == wanted:
                call.cancel()

    def _add(self, choice: int, content: str) -> None:
        if content:
            self._text[str(choice)] = self._text.get(str(choice), "") + content


def _told(error: Any) -> dict[str, Any]:
    """The plain trailers say reason and delay to those who do not know google.rpc's types."""
    trailers = _shown(error.trailing_metadata())
    delay = trailers.get("headgate-retry-after-ms")
    return {
        "code": error.code().name,
        "message": error.details() or "",
        "reason": trailers.get("headgate-reason", ""),
        "retry_delay_ms": None if delay is None else int(delay),
        "trailers": trailers,
    }


def _shown(pairs: Any) -> dict[str, str]:
    wanted = ("x-request-id", "grpc-retry-pushback-ms")
    return {k: v for k, v in pairs or () if k.startswith("headgate-") or k in wanted}


def _channel(arguments: argparse.Namespace) -> grpc.Channel:
    """With what protos/README.md wants of every client."""
    defaults = json.loads((PROTOS / "channel_defaults.json").read_text("utf-8"))
    config = (PROTOS / "service_config.json").read_text("utf-8")
    options = [*defaults.items(), ("grpc.service_config", config)]
    if arguments.authority is not None:
        options.append(("grpc.ssl_target_name_override", arguments.authority))
    if arguments.ca is None:
        return grpc.insecure_channel(arguments.target, options)
    files = (arguments.ca, arguments.key, arguments.cert)
    credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
    return grpc.secure_channel(arguments.target, credentials, options)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "cert", "key"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--authority")
    parser.add_argument("--token")
    parser.add_argument("target")
    return parser.parse_args()


def main() -> None:
    """Make the calls of the standard input, one line after the other."""
    arguments = _arguments()
    with _channel(arguments) as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        for text in sys.stdin:
            line = json.loads(text)
            witnesses = [Witness(stub, line, arguments.token) for _ in range(line.get("count", 1))]
            with ThreadPoolExecutor(len(witnesses)) as threads:
                calls = list(threads.map(Witness.see, witnesses))
            sys.stdout.write(json.dumps({"name": line["name"], "calls": calls}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
