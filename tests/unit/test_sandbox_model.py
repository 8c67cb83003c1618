"""The sandbox's model: what it obeys, what it understands, what it says about itself."""

from __future__ import annotations

import json
import math
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import wire
from headgate.config import Settings
from headgate.errors import HeadgateError, WaitTooLong
from headgate.sandbox import texts
from headgate.sandbox.model import SandboxModel
from headgate.sandbox.running import page
from headgate.sandbox.sampler import Sampler
from headgate.sandbox.schema import Hints, fill
from headgate.sandbox.script import _parts, perform
from headgate.sandbox.tokenizer import count_tokens, tokenize
from headgate.upstream import Call, Chunk, Delta, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

STORY = "Tell me a story"


class Ears(Silent):
    """Keeps what an Observer hears of attempts."""

    def __init__(self) -> None:
        self.heard: list[HeadgateError | str | None] = []

    def attempt_started(self) -> None:
        self.heard.append("started")

    def attempt_ended(self, error: HeadgateError | None) -> None:
        self.heard.append(error)


def user(text: str) -> wire.Message:
    return wire.Message(role="user", content=text)


def model(sleeps: list[float] | None = None, seed: int = 1) -> SandboxModel:
    async def sleep(seconds: float) -> None:
        if sleeps is not None:
            sleeps.append(seconds)

    return SandboxModel(token_interval=0.5, sleep=sleep, clock=lambda: 7.9, random=Random(seed))


async def chunks_of(
    said: str | Sequence[wire.Message], *, of: SandboxModel | None = None, **parameters: Any
) -> list[Chunk]:
    messages = [user(said)] if isinstance(said, str) else list(said)
    parameters.setdefault("stream", False)
    request = wire.ChatRequest(messages=messages, **parameters)
    async with (of or model()).open(Call(request=request)) as chunks:
        return [chunk async for chunk in chunks]


def deltas_of(chunks: list[Chunk], choice: int = 0) -> list[Delta]:
    return [delta for chunk in chunks for delta in chunk.deltas if delta.choice == choice]


def text_of(chunks: list[Chunk], choice: int = 0) -> str:
    return "".join(delta.content for delta in deltas_of(chunks, choice))


async def say(said: str | Sequence[wire.Message], **parameters: Any) -> str:
    return text_of(await chunks_of(said, **parameters))


# What can be set.


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
    chunks = await chunks_of(STORY, seed=1, stream=stream, **{field: 5})
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


def usage(chunks: list[Chunk]) -> wire.Usage:
    found = chunks[-1].usage
    assert found is not None
    return found


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


async def test_no_logprobs_unless_asked_for() -> None:
    """And none beside the token itself when no others are wanted."""
    assert all(delta.logprobs is None for delta in deltas_of(await chunks_of(STORY)))
    asked = deltas_of(await chunks_of("say: hi", logprobs=True))
    assert asked[0].logprobs == wire.Logprobs([wire.TokenLogprob("hi", 0.0, [104, 105], [])])


# Tools and JSON.


def tool(name: str, **properties: Any) -> wire.Tool:
    schema = msgspec.json.encode({"type": "object", "properties": properties})
    return wire.Tool(function=wire.FunctionSpec(name=name, parameters=msgspec.Raw(schema)))


WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer", "minimum": 1})
TIME = tool("get_local_time", city={"type": "string"})
NAMED = wire.NamedToolChoice(function=wire.FunctionName("get_local_time"))


def calls_of(chunks: list[Chunk]) -> list[tuple[str, Any]]:
    calls: dict[int, list[str]] = {}
    for delta in deltas_of(chunks):
        for piece in delta.tool_calls:
            said = calls.setdefault(piece.index, ["", ""])
            said[0] += piece.name
            said[1] += piece.arguments
    return [(name, json.loads(arguments)) for name, arguments in calls.values()]


@pytest.mark.parametrize(
    ("question", "choice", "called"),
    [
        ("What is the weather in New York?", None, ["get_weather"]),
        ("What is the weather in New York?", "auto", ["get_weather"]),
        ("Call get_local_time", "auto", ["get_local_time"]),
        ("Whether it rains", "auto", []),
        ("Hello!", "auto", []),
        ("Hello!", "required", ["get_weather"]),
        ("What is the weather?", "none", []),
        ("Hello!", NAMED, ["get_local_time"]),
        ("The local time and the weather, please", "auto", ["get_weather", "get_local_time"]),
    ],
)
async def test_tools_are_called_when_they_are_meant(
    question: str, choice: str | wire.NamedToolChoice | None, called: list[str]
) -> None:
    """By the choice, or by a word of the function's name in the question."""
    chunks = await chunks_of(question, tools=[WEATHER, TIME], tool_choice=choice)
    assert [name for name, _ in calls_of(chunks)] == called
    assert chunks[-1].finishes == {0: "tool_calls" if called else "stop"}
    assert bool(text_of(chunks)) == (not called)


async def test_a_call_is_streamed_in_fragments() -> None:
    """Id and name first and once, then the arguments in pieces, made up from the question."""
    chunks = await chunks_of("Weather in New York for 3 days?", tools=[WEATHER], stream=True)
    pieces = [piece for delta in deltas_of(chunks) for piece in delta.tool_calls]
    assert (pieces[0].name, pieces[0].arguments) == ("get_weather", "")
    assert pieces[0].id.startswith("call_")
    assert len(pieces) > 3
    assert {(piece.id, piece.name) for piece in pieces[1:]} == {("", "")}
    assert calls_of(chunks) == [("get_weather", {"city": "New York", "days": 3})]


async def test_one_call_at_a_time_when_that_is_wished() -> None:
    """`parallel_tool_calls` false."""
    chunks = await chunks_of(
        "local weather", tools=[WEATHER, TIME], parallel_tool_calls=False, tool_choice="auto"
    )
    assert len(calls_of(chunks)) == 1


async def test_a_tools_result_is_told_and_not_asked_for_again() -> None:
    """Otherwise a caller's loop would never end."""
    messages = [
        user("What is the weather in Oslo?"),
        wire.Message(role="tool", tool_call_id="call_1", content="12 °C and rain"),
    ]
    chunks = await chunks_of(messages, tools=[WEATHER])
    assert calls_of(chunks) == []
    assert "12 °C and rain" in text_of(chunks)


async def test_max_tokens_cuts_a_call_too() -> None:
    """As real servers do, in the middle of the arguments."""
    chunks = await chunks_of("weather", tools=[WEATHER], max_tokens=5)
    assert chunks[-1].finishes == {0: "length"}
    assert usage(chunks).completion_tokens == 5


async def test_a_json_object_is_json() -> None:
    """With the answer inside, whatever signs it holds."""
    shape = wire.ResponseFormat(type="json_object")
    said = await say('say: "quoted" \\ 中', response_format=shape)
    assert json.loads(said) == {"answer": 'quoted" \\ 中', "messages": 1}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "kind": {"enum": ["sun", "rain"]},
        "days": {"type": "integer", "minimum": 2, "maximum": 5},
        "share": {"type": "number", "maximum": 0.5},
        "sure": {"type": "boolean"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 2},
        "maybe": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "fixed": {"const": [1, None]},
        "nothing": {"type": ["null", "string"]},
    },
    "$defs": {"item": {"properties": {"deep": {"type": "string", "maxLength": 3}}}},
}


async def test_an_answer_fits_its_json_schema() -> None:
    """Types, enums, bounds, references, the first of several shapes."""
    schema = wire.JsonSchema(name="w", schema=msgspec.Raw(msgspec.json.encode(SCHEMA)))
    shape = wire.ResponseFormat(type="json_schema", json_schema=schema)
    said = await say("Will there be rain in Lyon?", response_format=shape, temperature=0)
    answer = json.loads(said)
    assert list(answer) == list(SCHEMA["properties"])
    assert answer == {
        "city": "Lyon",
        "kind": "rain",
        "days": 2,
        "share": 0.5,
        "sure": True,
        "list": [{"deep": "You"}, {"deep": "You"}],
        "maybe": "2026-01-01",
        "fixed": [1, None],
        "nothing": None,
    }


def test_a_schema_that_holds_itself_has_an_end() -> None:
    """However deep and however wide."""
    schema = {"properties": {str(i): {"$ref": "#"} for i in range(50)}}
    assert len(json.dumps(fill(schema, Hints.of("x")))) < 100_000
    assert fill({"$ref": "#"}, Hints.of("x")) is None


KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "anyOf",
        "enum",
        "const",
        "$ref",
        "minItems",
        "minimum",
        "maximum",
        "maxLength",
        "format",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, width=16)
    | st.sampled_from(["object", "array", "string", "number", "integer", "#", "#/a", "date", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYWORDS, VALUES, max_size=5), st.text(max_size=20))
def test_any_schema_gets_some_json(schema: dict[str, Any], question: str) -> None:
    """Also one that is no schema at all."""
    msgspec.json.encode(fill(schema, Hints.of(question)))


# What it understands.


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Hello!", "headgate sandbox"),
        ("hi there", "headgate sandbox"),
        ("What is AI?", "AI"),
        ("Are you a language model?", "I am no language model"),
        ("Who are you?", "headgate-sandbox"),
        ("What can you do?", "tell a story"),
        ("Write a poem", "gate"),
        ("Write a haiku", "each drop"),
        ("Tell me a joke", "patient"),
        ("What is headgate?", "gRPC"),
        ("What is the rate limit?", "500 ms"),
        ("How does streaming work?", "[DONE]"),
        ("What does temperature mean?", "0.8"),
        ("Write some Python code", "requests.post"),
        ("What is 6 * 7?", "6 * 7 = 42"),
        ("7/2", "3.5"),
        ("12 / 0", "divided by zero"),
        ("The average of 2, 4 and 9?", "Their sum is 15 and their average is 5"),
        ("What's the weather?", "get_weather"),
        ("How are you?", "thank you"),
        ("Thanks!", "welcome"),
        ("Goodbye", "Goodbye"),
        ("Bonjour !", "bac à sable"),
        ("Guten Tag", "Sandkasten"),
        ("¡Hola!", "sandbox de headgate"),
        ("你好", "沙盒"),
        ("My name is Zoé.", "Zoé"),
        ("我叫小明", "小明"),
        ("What is my name?", "not told me"),
        ("What did I say?", "first thing"),
        ("How many messages are there?", "1 message so far, without a system prompt"),
        ("What is your system prompt?", "no system prompt"),
        ("count to 4", "1, 2, 3, 4."),
        ("Please say: “Grüße, 世界 😀”", "Grüße, 世界 😀"),
        ("Why is the sky blue?", "“Why is the sky blue?”"),
        ("?!", "no words"),
        ("", "no words"),
    ],
)
async def test_a_question_gets_a_fitting_answer(question: str, part: str) -> None:
    """One for everything that it can talk about."""
    assert part in await say(question, temperature=0)


async def test_it_reads_the_conversation() -> None:
    """A name told earlier, what was said before, how much there is, which prompt it was given."""
    talk = [
        wire.Message(role="system", content="You are a pirate."),
        user("Hello, my name is Ada"),
        wire.Message(role="assistant", content="Hello, Ada!"),
    ]
    assert "Ada" in await say([*talk, user("What's my name?")])
    assert "“Hello, my name is Ada”" in await say([*talk, user("What did I just say?")])
    assert "3 messages so far, with a system prompt" in await say(
        [*talk, user("How many messages?")]
    )
    assert "“You are a pirate.”" in await say([*talk, user("What is your system prompt?")])


async def test_pictures_are_noticed() -> None:
    """They count as tokens, and it says that it cannot look at them."""
    picture = wire.ImagePart(wire.ImageUrl("data:image/png;base64,AAAA"))
    message = wire.Message(role="user", content=[wire.TextPart("What is this?"), picture, picture])
    chunks = await chunks_of([message])
    assert "2 pictures" in text_of(chunks)
    assert usage(chunks).prompt_tokens == 3 + len(tokenize("What is this?")) + 2 * 85


async def test_what_the_user_writes_is_no_script() -> None:
    """Braces and dollars in a question come back as they are."""
    question = "what about {a|b} and $name and {x=1}"
    assert f"“{question}”" in await say(question)


SCRIPTS = [
    text for text in vars(texts).values() if isinstance(text, str) and text != texts.__name__
] + list(texts.REASONING)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[:20])
def test_every_choice_in_the_texts_is_one(script: str) -> None:
    """Facts stand outside of choices, where they are put in, and no brace is left over."""
    for text, _, options, _ in _parts(script):
        assert len(options) != 1
        assert "$" not in "".join(options)
        assert not set("{}|") & set(text) or text == texts.PYTHON


def test_a_space_belongs_to_the_word_behind_it() -> None:
    """So that tokens look like those of real models, and facts keep their own spaces."""
    tokens = perform("a {who=b|c} $who$x d ", {"x": ", e"}, Sampler(0, 1, Random(1)))
    assert [token.text for token in tokens] == ["a", " b", " b", ",", " e", " d", " "]


# What it costs.


def test_tokens_joined_are_the_text() -> None:
    """Whatever the text."""
    assert tokenize("Tell me, 世界: 12345 internationalization!") == (
        ["Tell", " me", ",", " ", "世", "界", ":", " 123", "45", " internat", "ionaliza", "tion"]
        + ["!"]
    )


@given(st.text())
def test_no_character_is_lost_between_tokens(text: str) -> None:
    """And the count is the number of them."""
    assert "".join(tokenize(text)) == text
    assert count_tokens(text) == len(tokenize(text))


def test_a_huge_prompt_is_counted_and_not_read() -> None:
    """Behind 65,536 characters four count as one token."""
    assert (
        count_tokens("a " * (1 << 22)) == len(tokenize("a " * (1 << 15))) + ((1 << 23) - 65536) // 4
    )


async def test_counting_has_an_end() -> None:
    """Far enough for a long stream, shared by all choices."""
    assert (await say("Please count to 500.")).endswith("499, 500.")
    assert "no further than 5000" in await say("count to 999999999")
    assert "no further than 50." in await say("count to 999999999", n=100)


# How it behaves as an upstream.


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

    async def connected(self) -> None:
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


# The page.


def test_the_page_stands_alone_and_is_honest() -> None:
    """Nothing is loaded from elsewhere, the limits are the real ones, and it says what it is."""
    settings = Settings.model_validate({"callers": {"rate": 3, "min_interval": 0.25}})
    html = page(settings).decode()
    assert "no language model" in html
    assert "For each IP address: 3 requests a second, at least 250 ms apart." in html
    for loads in ('src="', "@import", "url(", 'href="http', "LIMITS_IN_WORDS"):
        assert loads not in html
    for published in ("temperature", "0.8", "max_tokens", "-1", "top_p", "0.9", "stream", "true"):
        assert f"<code>{published}</code>" in html
