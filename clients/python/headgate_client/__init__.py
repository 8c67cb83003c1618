"""The Python client of headgate: chat completions over gRPC, with typed errors and streams.

from headgate_client import Client

with Client("127.0.0.1:50051") as client, client.stream_chat("Hello!") as answer:
    for piece in answer.text():
        print(piece, end="", flush=True)
"""

from __future__ import annotations

from headgate_client.client import AsyncClient, Client
from headgate_client.conversation import AsyncConversation, Conversation
from headgate_client.errors import (
    Cancelled,
    DeadlineExceeded,
    FieldViolation,
    HeadgateError,
    InternalFailure,
    Interrupted,
    InvalidRequest,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UpstreamRefused,
)
from headgate_client.messages import text
from headgate_client.stream import AsyncStream, AsyncTextIterator, Stream, TextIterator
from headgate_client.v1.chat_pb2 import ChatMessage, ChatRequest, ChatResponse, StreamChatResponse
from headgate_client.version import __version__

__all__ = [
    "AsyncClient",
    "AsyncConversation",
    "AsyncStream",
    "AsyncTextIterator",
    "Cancelled",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "Client",
    "Conversation",
    "DeadlineExceeded",
    "FieldViolation",
    "HeadgateError",
    "InternalFailure",
    "Interrupted",
    "InvalidRequest",
    "PermissionDenied",
    "RateLimited",
    "Stream",
    "StreamChatResponse",
    "TextIterator",
    "Unauthenticated",
    "Unavailable",
    "UpstreamRefused",
    "__version__",
    "text",
]
