"""The embedded model: a small deterministic talker that behaves like an upstream.

It is no language model and says so. It reads the conversation, answers from prepared phrases, and
obeys what a caller can set: temperature, top_p, seed, max_tokens, stop, n, tools,
response_format, reasoning_effort and logprobs. Penalties have no effect.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from itertools import zip_longest
from random import Random
from typing import TYPE_CHECKING

from headgate import wire
from headgate.errors import HeadgateError
from headgate.sandbox.answer import answer, choice_random
from headgate.sandbox.conversation import read
from headgate.upstream import Chunk, Delta, Head, ToolCallPiece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from headgate.sandbox.answer import Answer
    from headgate.sandbox.conversation import Conversation
    from headgate.sandbox.sampler import Token
    from headgate.upstream import Call, Gate

MODEL_NAME = "headgate-sandbox"
TOKEN_INTERVAL = 0.03


class SandboxModel:
    """An Upstream without a network.

    Args:
        token_interval: seconds before each token of a stream; a unary answer comes at once.
        sleep: waits for so many seconds.
        clock: seconds since the epoch, for `created`.
        random: for ids, and for answers whose request names no seed.
    """

    def __init__(
        self,
        *,
        token_interval: float = TOKEN_INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self._token_interval = token_interval
        self._sleep = sleep
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - words are chosen with it, not secrets

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        """See `headgate.upstream.Upstream`.

        Raises:
            Refused: by the call's gate; the model itself never fails.
        """
        call.observer.attempt_started()
        refusal: HeadgateError | None = None
        try:
            try:
                await _pass(call.gate)
            except HeadgateError as refused:
                refusal = refused
                raise
            request = call.request
            chunks = self._stream(request) if request.stream else self._whole(request)
            async with aclosing(chunks), aclosing(_after(await anext(chunks), chunks)) as answer_:
                yield answer_
        finally:
            call.observer.attempt_ended(refusal)

    async def _stream(self, request: wire.ChatRequest) -> AsyncGenerator[Chunk]:
        """One Chunk for each step of the choices, then one with what ends them."""
        head, talk, answers = self._begin(request)
        for deltas in _steps(request, answers):
            await self._sleep(self._token_interval)
            yield Chunk(head=head, deltas=deltas, finishes={}, extra={})
            head = None
        yield _ending(head, talk, answers)

    async def _whole(self, request: wire.ChatRequest) -> AsyncGenerator[Chunk]:
        head, talk, answers = self._begin(request)
        chunk = _ending(head, talk, answers)
        chunk.deltas = [delta for deltas in _steps(request, answers) for delta in deltas]
        yield chunk

    def _begin(self, request: wire.ChatRequest) -> tuple[Head | None, Conversation, list[Answer]]:
        talk = read(request.messages)
        head = Head(
            id=f"chatcmpl-{self._random.getrandbits(96):024x}",
            model=MODEL_NAME,
            created=int(self._clock()),
            system_fingerprint="fp_sandbox",
        )
        randoms = [choice_random(request, i, self._random) for i in range(request.n or 1)]
        return head, talk, [answer(request, talk, random) for random in randoms]


async def _pass(gate: Gate | None) -> None:
    """There is no connection to wait for, so the request is written the moment that it may."""
    if gate is not None:
        while not await gate.connected():
            pass
        gate.written()


async def _after(first: Chunk, rest: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk]:
    yield first
    async for chunk in rest:
        yield chunk


def _steps(request: wire.ChatRequest, answers: list[Answer]) -> Iterator[list[Delta]]:
    """The choices side by side: the first token of each, then the second."""
    choices = [_deltas(request, index, said) for index, said in enumerate(answers)]
    for step in zip_longest(*choices):
        yield [delta for delta in step if delta is not None]


def _deltas(request: wire.ChatRequest, index: int, said: Answer) -> Iterator[Delta]:
    for token in said.reasoning:
        yield Delta(index, reasoning=token.text)
    for token in said.content:
        logprobs = _logprobs(token, request.top_logprobs or 0) if request.logprobs else None
        yield Delta(index, content=token.text, logprobs=logprobs)
    for place, call in enumerate(said.calls):
        yield Delta(index, tool_calls=[ToolCallPiece(place, call.id, call.name)])
        for piece in call.pieces:
            yield Delta(index, tool_calls=[ToolCallPiece(place, arguments=piece)])


def _logprobs(token: Token, top: int) -> wire.Logprobs:
    rivals = token.rivals or ((token.text, 0.0),)
    ranked = [wire.TopLogprob(text, p, list(text.encode())) for text, p in rivals[:top]]
    said = wire.TokenLogprob(token.text, token.logprob, list(token.text.encode()), ranked)
    return wire.Logprobs(content=[said])


def _ending(head: Head | None, talk: Conversation, answers: list[Answer]) -> Chunk:
    completion = sum(said.tokens for said in answers)
    thought = sum(len(said.reasoning) for said in answers)
    usage = wire.Usage(
        prompt_tokens=talk.tokens,
        completion_tokens=completion,
        total_tokens=talk.tokens + completion,
        prompt_tokens_details=wire.PromptTokensDetails(cached_tokens=0),
        completion_tokens_details=wire.CompletionTokensDetails(reasoning_tokens=thought),
    )
    finishes = {index: said.finish for index, said in enumerate(answers)}
    return Chunk(head=head, finishes=finishes, usage=usage, deltas=[], extra={})
