"""The whole answer to a request, before any of it is sent: plain, synchronous, repeatable."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headgate.sandbox import texts
from headgate.sandbox.sampler import Sampler, Token
from headgate.sandbox.schema import Hints, fill, parse_schema
from headgate.sandbox.script import perform
from headgate.sandbox.tokenizer import count_tokens, tokenize
from headgate.sandbox.tools import calls
from headgate.sandbox.topics import COUNT_LIMIT, plural, reply_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate import wire
    from headgate.sandbox.conversation import Conversation

TEMPERATURE = 0.8
TOP_P = 0.9
_EFFORTS = {"none": 0, "minimal": 1, "low": 2, "medium": 3}


class CallPlan(NamedTuple):
    """A function call; its arguments go out in pieces."""

    id: str
    name: str
    pieces: list[str]


class Answer(NamedTuple):
    """One choice of an answer; `finish` is stop, length or tool_calls."""

    reasoning: list[Token]
    content: list[Token]
    calls: list[CallPlan]
    finish: str

    @property
    def tokens(self) -> int:
        """How many tokens it took."""
        called = sum(count_tokens(call.name) + len(call.pieces) for call in self.calls)
        return len(self.reasoning) + len(self.content) + called


def answer(request: wire.ChatRequest, talk: Conversation, random: Random) -> Answer:
    """One choice; the same request, conversation and state of `random` give the same one."""
    sampler = Sampler(
        TEMPERATURE if request.temperature is None else request.temperature,
        TOP_P if request.top_p is None else request.top_p,
        random,
    )
    reasoning = _reasoning(request, talk, sampler)
    called = [
        CallPlan(f"call_{random.getrandbits(96):024x}", call.name, tokenize(call.arguments))
        for call in calls(request, talk)
    ]
    content = [] if called else _content(request, talk, sampler)
    return _cut(Answer(reasoning, content, called, "tool_calls" if called else "stop"), request)


def choice_random(request: wire.ChatRequest, index: int, random: Random) -> Random:
    """A generator for one choice: from the request's seed, or from the model's own."""
    seed = random.getrandbits(64) if request.seed is None else request.seed
    return Random(f"{seed}/{index}")  # noqa: S311 - words are chosen with it, not secrets


def _reasoning(request: wire.ChatRequest, talk: Conversation, sampler: Sampler) -> list[Token]:
    """A sentence or more, by the effort that was asked for; the first tells what was read."""
    if not request.reasoning_effort:
        return []
    sentences = texts.REASONING[: _EFFORTS.get(request.reasoning_effort, len(texts.REASONING))]
    facts = {"words": plural(len(talk.question.split()), "word")}
    return [token for text in sentences for token in perform(text, facts, sampler)]


def _content(request: wire.ChatRequest, talk: Conversation, sampler: Sampler) -> list[Token]:
    reply = reply_to(talk, count_limit=COUNT_LIMIT // (request.n or 1))
    said = perform(reply.script, reply.facts, sampler)
    shape = request.response_format
    if shape is None or shape.type == "text":
        return said
    text = "".join(token.text for token in said)
    if shape.json_schema is None:
        value = {"answer": text, "messages": talk.messages}
    else:
        value = fill(
            parse_schema(shape.json_schema.schema), Hints.of(talk.question)._replace(text=text)
        )
    return [Token(piece) for piece in tokenize(msgspec.json.encode(value).decode())]


def _cut(whole: Answer, request: wire.ChatRequest) -> Answer:
    """What is left of an answer under max_tokens and the stop sequences."""
    limit = _limit(request)
    if limit is not None and whole.tokens > limit:
        left = limit - len(whole.reasoning)
        whole = Answer(
            whole.reasoning[:limit],
            whole.content[: max(0, left)],
            _cut_calls(whole.calls, left),
            "length",
        )
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    content, stopped = _stop(whole.content, [stop for stop in stops if stop])
    return whole._replace(content=content, finish="stop") if stopped else whole


def _limit(request: wire.ChatRequest) -> int | None:
    """The lower of the two limits; below 1 there is none."""
    limits = (request.max_tokens, request.max_completion_tokens)
    return min((limit for limit in limits if limit is not None and limit > 0), default=None)


def _cut_calls(planned: Sequence[CallPlan], left: int) -> list[CallPlan]:
    kept = []
    for call in planned:
        left -= count_tokens(call.name)
        if left < 0:
            break
        kept.append(call._replace(pieces=call.pieces[:left]))
        left -= len(kept[-1].pieces)
    return kept


def _stop(tokens: list[Token], stops: Sequence[str]) -> tuple[list[Token], bool]:
    """The tokens before the first stop sequence, wherever it begins and ends; was there one?"""
    text = "".join(token.text for token in tokens)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return tokens, False
    left, kept = min(places), []
    for token in tokens:
        if left <= 0:
            break
        kept.append(token if len(token.text) <= left else Token(token.text[:left]))
        left -= len(token.text)
    return kept, True
