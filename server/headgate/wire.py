"""The chat-completion HTTP API's JSON, as typed structs.

The published API and OpenAI's `POST /v1/chat/completions` share these shapes.
Fields that are unset are not sent; fields that are unknown are ignored when read.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# Indexes and bytes that no honest server sends must not get as far as an int32 or a bytes object.
Index = Annotated[int, Meta(ge=0, lt=2**20)]
Byte = Annotated[int, Meta(ge=0, le=255)]


class TextPart(Struct, tag_field="type", tag="text"):
    text: str


class ImageUrl(Struct, omit_defaults=True):
    """`url` is an address or a data: URL (RFC 2397)."""

    url: str
    detail: str | None = None


class ImagePart(Struct, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class Function(Struct):
    """A call of a function by the model; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(Struct, kw_only=True):
    id: str
    type: str = "function"
    function: Function


class Message(Struct, omit_defaults=True, kw_only=True):
    role: str
    content: str | list[TextPart | ImagePart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


class FunctionSpec(Struct, omit_defaults=True, kw_only=True):
    """`parameters` is JSON Schema, handed through as it was written."""

    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class Tool(Struct, kw_only=True):
    type: str = "function"
    function: FunctionSpec


class FunctionName(Struct):
    name: str


class NamedToolChoice(Struct, kw_only=True):
    type: str = "function"
    function: FunctionName


class JsonSchema(Struct, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class ResponseFormat(Struct, omit_defaults=True, kw_only=True):
    """`type` is text, json_object or json_schema."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, omit_defaults=True):
    include_usage: bool | None = None


class ChatRequest(Struct, omit_defaults=True, kw_only=True):
    """The body of a request. `stream` absent means true on the published API, false on OpenAI's."""

    messages: list[Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None


class FunctionFragment(Struct, omit_defaults=True):
    """A piece of a call; some servers send `arguments` as an object instead of text."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCallFragment(Struct, omit_defaults=True):
    index: Index | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionFragment | None = None


class Delta(Struct, omit_defaults=True):
    """What a choice says: a delta in a stream, the whole message in a unary answer."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallFragment] | None = None


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: list[Byte] | None = None


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[Byte] | None = None
    top_logprobs: list[TopLogprob] = []


class Logprobs(Struct, omit_defaults=True):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Choice(Struct, omit_defaults=True):
    """`index` 0 is written out, because clients count on it."""

    index: Index | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptTokensDetails(Struct, omit_defaults=True):
    cached_tokens: int | None = None


class CompletionTokensDetails(Struct, omit_defaults=True):
    reasoning_tokens: int | None = None


class Usage(Struct, omit_defaults=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    def behind(self, earlier: Usage | None) -> Usage:
        """This one, with what only an earlier one of the same answer said."""
        if earlier is not None:
            for name in self.__struct_fields__:
                if getattr(self, name) is None:
                    setattr(self, name, getattr(earlier, name))
        return self


class Completion(Struct, omit_defaults=True):
    """A whole answer (`chat.completion`) or one event of a stream (`chat.completion.chunk`).

    `error` stands where some upstreams report a failure inside a 200:
    an object with message and a numeric code, or a plain string.
    """

    id: str | None = None
    object: str | None = None
    created: float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


KNOWN_REQUEST_FIELDS = frozenset(field.name for field in msgspec.structs.fields(ChatRequest))
KNOWN_COMPLETION_FIELDS = frozenset(field.name for field in msgspec.structs.fields(Completion))
