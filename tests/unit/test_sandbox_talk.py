"""What the sandbox understands, what it says, and how it counts."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import wire
from headgate.config import Settings
from headgate.sandbox import texts
from headgate.sandbox.running import page
from headgate.sandbox.sampler import Sampler
from headgate.sandbox.script import _parts, perform
from headgate.sandbox.tokenizer import count_tokens, tokenize
from support.sandbox_model import (
    chunks_of,
    say,
    text_of,
    usage,
    user,
)


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Hello!", "headgate sandbox"),
        ("hi there", "headgate sandbox"),
        ("What is AI?", "machine learning"),
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
    text
    for name, text in vars(texts).items()
    if isinstance(text, str) and name.isupper() and name != "PYTHON"
] + list(texts.REASONING)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[:20])
def test_every_choice_in_the_texts_is_one(script: str) -> None:
    """Facts stand outside of choices, where they are put in, and no brace is left over."""
    for text, _, options, _ in _parts(script):
        assert len(options) != 1
        assert "$" not in "".join(options)
        assert not set("{}|") & set(text)


def test_a_space_belongs_to_the_word_behind_it() -> None:
    """So that tokens look like those of real models, and facts keep their own spaces."""
    tokens = perform("a {who=b|c} $who$x d ", {"x": ", e"}, Sampler(0, 1, Random(1)))
    assert [token.text for token in tokens] == ["a", " b", " b", ",", " e", " d", " "]


def test_tokens_joined_are_the_text() -> None:
    """Whatever the text."""
    tokens = [
        "Tell",
        " me",
        ",",
        " ",
        "世",
        "界",
        ":",
        " 123",
        "45",
        " internat",
        "ionaliza",
        "tion",
        "!",
    ]
    assert tokenize("".join(tokens)) == tokens


@given(st.text())
def test_no_character_is_lost_between_tokens(text: str) -> None:
    """And the count is the number of them."""
    assert "".join(tokenize(text)) == text
    assert count_tokens(text) == len(tokenize(text))


def test_a_huge_prompt_is_counted_and_not_read() -> None:
    """Behind 65,536 characters four count as one token."""
    exact = "a " * 32_768
    assert count_tokens(exact) == len(tokenize(exact))
    assert count_tokens(exact + "b" * 4_000_001) == count_tokens(exact) + 1_000_001


async def test_counting_has_an_end() -> None:
    """Far enough for a long stream, shared by all choices."""
    assert (await say("Please count to 500.")).endswith("499, 500.")
    assert "no further than 5000" in await say("count to 999999999")
    assert "no further than 50." in await say("count to 999999999", n=100)


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
