"""The sandbox's model: what it obeys, and how it behaves as an upstream."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import wire
from headgate.errors import HeadgateError, WaitTooLong
from headgate.sandbox.sampler import Sampler
from headgate.sandbox.tokenizer import tokenize
from headgate.upstream import Call, Silent
from support.sandbox_model import (
    STORY,
    WEATHER,
    chunks_of,
    deltas_of,
    model,
    say,
    text_of,
    usage,
    user,
)


async def test_temperature_0_gives_the_same_answer_every_time() -> None:
    """Without a seed, from models that draw different random numbers."""
    answers = {await say(STORY, of=model(seed=seed), temperature=0) for seed in range(10)}
    assert len(answers) == 1


async def test_a_higher_temperature_varies_more() -> None:
    """By how many different words open 60 stories."""
    spread = {}
    for temperature in (0.2, 2.0):
        openings = [
            await say(STORY, temperature=temperature, top_p=1.0, seed=seed, max_tokens=12)
            for seed in range(60)
        ]
        spread[temperature] = len(set(openings))
    assert 1 <= spread[0.2] < spread[2.0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-9, 0.8, 2.0])
async def test_a_seed_makes_any_temperature_repeatable(temperature: float) -> None:
    """From one model and from another."""
    answers = {
        await say(STORY, of=model(seed=seed), temperature=temperature, seed=42)
        for seed in (1, 1, 2)
    }
    assert len(answers) == 1


async def test_without_a_seed_the_same_model_varies_its_answers() -> None:
    """The published defaults are no temperature 0."""
    one = model()
    assert len({await say(STORY, of=one) for _ in range(10)}) > 1


async def test_unset_parameters_are_the_published_defaults() -> None:
    """0.8 and 0.9."""
    assert await say(STORY, seed=3) == await say(STORY, seed=3, temperature=0.8, top_p=0.9)


async def test_top_p_leaves_out_what_is_unlikely() -> None:
    """At 0 only the likeliest word is left, and more of it allows more words."""
    assert await say(STORY, top_p=0.0, temperature=2.0, seed=5) == await say(STORY, temperature=0)
    narrow = {await say(STORY, top_p=0.4, seed=seed, max_tokens=12) for seed in range(60)}
    wide = {await say(STORY, top_p=1.0, seed=seed, max_tokens=12) for seed in range(60)}
    assert len(narrow) < len(wide)


@given(st.sampled_from([0.3, 0.8, 2.0]), st.floats(0, 1), st.integers(2, 6), st.integers(0, 99))
def test_top_p_keeps_the_fewest_options_that_reach_it(
    temperature: float, top_p: float, many: int, seed: int
) -> None:
    """Whatever is picked, the options before it alone did not reach top_p."""
    weights = [(1 / rank) ** (1 / temperature) for rank in range(1, many + 1)]
    picked = Sampler(temperature, top_p, Random(seed)).pick([str(i) for i in range(many)])
    assert picked == 0 or sum(weights[:picked]) < top_p * sum(weights)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_cuts_the_answer(field: str, stream: bool) -> None:
    """To exactly so many tokens of the same answer, with the reason `length`."""
    whole = await say(STORY, seed=1)
    parameters: dict[str, Any] = {"seed": 1, "stream": stream, field: 5}
    chunks = await chunks_of(STORY, **parameters)
    assert text_of(chunks) == "".join(delta.content for delta in deltas_of(chunks)[:5])
    assert whole.startswith(text_of(chunks))
    assert chunks[-1].finishes == {0: "length"}
    assert usage(chunks).completion_tokens == 5 == len(deltas_of(chunks))


async def test_an_answer_that_just_fits_is_not_cut() -> None:
    """The limit is a limit, no length."""
    whole = await chunks_of("count to 5")
    tokens = usage(whole).completion_tokens
    fits = await chunks_of("count to 5", max_tokens=tokens)
    assert (text_of(fits), fits[-1].finishes) == (text_of(whole), {0: "stop"})


@pytest.mark.parametrize("limit", [None, -1, 10**9])
async def test_no_limit_and_a_huge_one_are_the_same(limit: int | None) -> None:
    """-1 stands for none, and a huge one costs nothing."""
    chunks = await chunks_of("count to 3", max_tokens=limit)
    assert (text_of(chunks), chunks[-1].finishes) == ("1, 2, 3.", {0: "stop"})


TALE = "A drop, a drop — and on they go; 中文 é 12345. A drop."


@given(st.integers(0, len(TALE) - 1), st.integers(1, 12), st.booleans())
async def test_a_stop_sequence_ends_the_answer_before_it(at: int, size: int, stream: bool) -> None:
    """Wherever it begins and ends, inside tokens or across them."""
    stop = TALE[at : at + size]
    chunks = await chunks_of(f"say: {TALE}", stop=[stop, "not in there"], stream=stream)
    assert text_of(chunks) == TALE[: TALE.index(stop)]
    assert chunks[-1].finishes == {0: "stop"}
    assert usage(chunks).completion_tokens == len(deltas_of(chunks))


async def test_the_first_of_several_stop_sequences_counts() -> None:
    """In the order of the text, not of the list; a plain string is a list of one."""
    assert await say("say: one two three", stop=["three", "two"]) == "one "
    assert await say("say: one two three", stop="three") == "one two "


async def test_a_stop_sequence_behind_max_tokens_is_not_reached() -> None:
    """What was not said cannot stop anything."""
    chunks = await chunks_of("say: one two three four", stop=["four"], max_tokens=2)
    assert (text_of(chunks), chunks[-1].finishes) == ("one two", {0: "length"})


async def test_choices_run_side_by_side() -> None:
    """Each has its own words and its own end, and all count."""
    chunks = await chunks_of(STORY, n=3, seed=1, stream=True)
    answers = [text_of(chunks, index) for index in range(3)]
    assert len(set(answers)) == 3
    assert [delta.choice for delta in chunks[0].deltas] == [0, 1, 2]
    assert chunks[-1].finishes == {0: "stop", 1: "stop", 2: "stop"}
    assert usage(chunks).completion_tokens == sum(len(deltas_of(chunks, i)) for i in range(3))
    assert answers[0] == await say(STORY, seed=1)


@pytest.mark.parametrize("parameters", [{}, {"n": 2}, {"reasoning_effort": "high"}])
async def test_a_stream_and_a_whole_answer_say_the_same(parameters: dict[str, Any]) -> None:
    """Delta by delta, with the same usage; the whole answer is one Chunk."""
    stream = await chunks_of(STORY, seed=1, stream=True, **parameters)
    whole = await chunks_of(STORY, seed=1, **parameters)
    assert len(whole) == 1
    assert [delta for chunk in stream for delta in chunk.deltas] == whole[0].deltas
    assert (stream[-1].finishes, stream[-1].usage) == (whole[0].finishes, whole[0].usage)


async def test_usage_counts_by_the_models_own_tokenizer() -> None:
    """The prompt with three tokens for each message, the answer delta by delta, the total."""
    messages = [wire.Message(role="system", content="Be brief."), user("count to 3")]
    chunks = await chunks_of(messages, stream=True)
    prompt = 3 + len(tokenize("Be brief.")) + 3 + len(tokenize("count to 3"))
    assert usage(chunks) == wire.Usage(
        prompt_tokens=prompt,
        completion_tokens=len(tokenize("1, 2, 3.")),
        total_tokens=prompt + len(tokenize("1, 2, 3.")),
        prompt_tokens_details=wire.PromptTokensDetails(cached_tokens=0),
        completion_tokens_details=wire.CompletionTokensDetails(reasoning_tokens=0),
    )


@pytest.mark.parametrize(("effort", "sentences"), [("none", 0), ("low", 2), ("high", 4)])
async def test_reasoning_comes_before_the_answer(effort: str, sentences: int) -> None:
    """More of it with more effort; its tokens are told apart in the usage."""
    chunks = await chunks_of("Hello!", reasoning_effort=effort, temperature=0)
    deltas = deltas_of(chunks)
    thought = [delta.reasoning for delta in deltas if delta.reasoning]
    assert [delta.reasoning for delta in deltas[: len(thought)]] == thought
    assert "".join(thought).count(". ") == sentences
    details = usage(chunks).completion_tokens_details
    assert details is not None
    assert details.reasoning_tokens == len(thought)


async def test_logprobs_are_those_of_the_tokens() -> None:
    """Never above 0, the likeliest first, together no more than certain; no choice is certain."""
    deltas = deltas_of(await chunks_of(STORY, seed=2, logprobs=True, top_logprobs=3))
    free = 0
    for delta in deltas:
        assert delta.logprobs is not None
        (token,) = delta.logprobs.content or []
        top = token.top_logprobs
        assert token.token == delta.content == bytes(token.bytes or []).decode()
        assert token.logprob <= 0.0
        assert [other.logprob for other in top] == sorted(
            (other.logprob for other in top), reverse=True
        )
        assert sum(math.exp(other.logprob) for other in top) < 1.0001
        assert len(top) <= 3
        free += len(top) > 1
    assert free > 10


@given(st.integers(0, 1000))
def test_the_logprobs_of_a_phrase_add_up_to_its_likelihood(seed: int) -> None:
    """Also where phrases begin with the same words."""
    phrases = ["a b c", "a b d", "e f", "g h"]
    said = Sampler(2.0, 1.0, Random(seed)).say(phrases)
    likely = dict(zip(phrases, (12 / 25, 6 / 25, 4 / 25, 3 / 25), strict=True))
    p = math.exp(sum(token.logprob for token in said))
    assert math.isclose(p, likely["".join(token.text for token in said)])


async def test_no_logprobs_unless_asked_for() -> None:
    """And none beside the token itself when no others are wanted."""
    assert all(delta.logprobs is None for delta in deltas_of(await chunks_of(STORY)))
    asked = deltas_of(await chunks_of("say: hi", logprobs=True))
    assert asked[0].logprobs == wire.Logprobs([wire.TokenLogprob("hi", 0.0, [104, 105], [])])


class Ears(Silent):
    """Keeps what an Observer hears of attempts."""

    def __init__(self) -> None:
        self.heard: list[HeadgateError | str | None] = []

    def attempt_started(self) -> None:
        self.heard.append("started")

    def attempt_ended(self, error: HeadgateError | None) -> None:
        self.heard.append(error)


async def test_a_stream_keeps_its_pace() -> None:
    """One token interval before every token, none before the end, none for a whole answer."""
    sleeps: list[float] = []
    chunks = await chunks_of("count to 3", of=model(sleeps), stream=True)
    assert sleeps == [0.5] * len(deltas_of(chunks)) == [0.5] * 6
    await chunks_of("count to 3", of=model(sleeps))
    assert len(sleeps) == 6


async def test_only_the_first_chunk_says_who_answers() -> None:
    """Id, name, time and fingerprint; the id is as repeatable as the random numbers."""
    first, *rest = await chunks_of(STORY, stream=True)
    assert first.head is not None
    assert first.head.id.startswith("chatcmpl-")
    assert (first.head.model, first.head.created) == ("headgate-sandbox", 7)
    assert first.head.system_fingerprint
    assert all(chunk.head is None for chunk in rest)
    assert (await chunks_of(STORY))[0].head == first.head
    assert (await chunks_of(STORY, of=model(seed=2)))[0].head != first.head


async def test_an_answer_without_a_token_still_has_head_and_end() -> None:
    """A stop sequence can stand at its very beginning."""
    (chunk,) = await chunks_of("say: x", stop="x", stream=True)
    assert chunk.head is not None
    assert (chunk.deltas, chunk.finishes) == ([], {0: "stop"})


async def test_nothing_goes_on_when_the_caller_leaves() -> None:
    """No token is waited for any more, and the attempt is over."""
    sleeps: list[float] = []
    ears = Ears()
    request = wire.ChatRequest(messages=[user(STORY)], stream=True)
    async with model(sleeps).open(Call(request=request, observer=ears)) as chunks:
        async for _ in chunks:
            break
    assert (len(sleeps), ears.heard) == (1, ["started", None])
    assert [chunk async for chunk in chunks] == []


class ShutGate:
    """A gate whose moment does not come."""

    async def connected(self) -> bool:
        raise WaitTooLong("not in time")

    def written(self) -> None:
        raise AssertionError("nothing was written")


async def test_a_gate_that_refuses_is_obeyed() -> None:
    """The attempt ends with the refusal."""
    ears = Ears()
    request = wire.ChatRequest(messages=[user(STORY)], stream=True)
    with pytest.raises(WaitTooLong) as refused:
        async with model().open(Call(request=request, observer=ears, gate=ShutGate())):
            pass
    assert ears.heard == ["started", refused.value]


TEXTS = st.text(max_size=40) | st.sampled_from([STORY, "count to 30", "hello", "7 / 3", "{|}$x"])
MESSAGES = st.builds(
    wire.Message,
    role=st.sampled_from(["system", "user", "assistant", "tool", "function", "developer"]),
    content=st.none()
    | TEXTS
    | st.lists(st.builds(wire.TextPart, TEXTS), max_size=2)
    | st.lists(st.builds(wire.ImagePart, st.builds(wire.ImageUrl, st.text())), max_size=2),
)


@given(
    st.lists(MESSAGES, max_size=5),
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "max_tokens": st.integers(-1, 30).filter(bool),
            "stop": st.lists(st.text(min_size=1, max_size=3), max_size=2),
            "seed": st.integers(-(2**63), 2**63 - 1),
            "n": st.integers(1, 3),
            "tools": st.just([WEATHER]),
            "response_format": st.builds(wire.ResponseFormat, type=st.just("json_object")),
            "reasoning_effort": st.text(max_size=6),
            "logprobs": st.booleans(),
            "stream": st.booleans(),
        },
    ),
)
async def test_whatever_it_is_sent_it_answers(
    messages: list[wire.Message], parameters: dict[str, Any]
) -> None:
    """Every choice ends, with usage that adds up, within the limit, and it can be sent as JSON."""
    chunks = await chunks_of(messages, **parameters)
    total = usage(chunks)
    assert sorted(chunks[-1].finishes) == list(range(parameters.get("n", 1)))
    assert total.prompt_tokens is not None
    assert total.completion_tokens is not None
    assert total.total_tokens == total.prompt_tokens + total.completion_tokens
    limit = parameters.get("max_tokens", -1)
    assert limit < 0 or total.completion_tokens <= limit * parameters.get("n", 1)
    msgspec.json.encode(chunks)
