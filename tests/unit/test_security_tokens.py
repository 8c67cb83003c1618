"""Bearer tokens: made once, kept as hashes, several for each caller."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.security.peer import Rejected
from headgate.security.tokens import PREFIX, new_token, read_time, read_tokens


def line(caller: str, token: str, *more: str) -> str:
    return " ".join([caller, "sha256:" + hashlib.sha256(token.encode()).hexdigest(), *more])


def test_a_new_token_counts_as_its_callers() -> None:
    """The line holds the name and the hash, and nothing to guess the token from."""
    token, text = new_token("search")
    assert token.startswith(PREFIX)
    assert len(token) == len(PREFIX) + 43
    assert token not in text
    assert read_tokens(text).caller(token, now=0) == "search"
    assert new_token("search")[0] != token


def test_several_tokens_of_one_caller_are_at_work_at_once() -> None:
    """So a rotation has no moment without a token."""
    tokens = read_tokens(
        "\n".join(["# of the search team", line("search", "old"), "", line("search", "new")])
    )
    assert len(tokens) == 2
    assert [tokens.caller(token, now=0) for token in ("old", "new")] == ["search", "search"]


def test_a_token_ends_when_its_line_says() -> None:
    """To the second, and another line may still hold it."""
    tokens = read_tokens(line("search", "t", "2027-01-31T00:00:00Z"))
    end = read_time("2027-01-31T01:00:00+01:00")
    assert tokens.caller("t", now=end - 1) == "search"
    with pytest.raises(Rejected) as rejected:
        tokens.caller("t", now=end)
    assert rejected.value.why == "expired token"
    assert new_token("a", end)[1].endswith(" 2027-01-31T00:00:00Z")


@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    """Whatever it holds, surrogates included."""
    tokens = read_tokens(line("search", "the token"))
    if text != "the token":
        with pytest.raises(Rejected, match="unknown token"):
            tokens.caller(text, now=0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no token"),
        ("# nothing\n\n", "holds no token"),
        ("search secret-in-clear", "line 1 is not NAME sha256:HEX"),
        ("secret-in-clear", "line 1 is not NAME sha256:HEX"),
        (f"\n{line('search', 't')} secret-in-clear", "line 2: EXPIRES must be a time such as"),
        (f"{line('search', 't')} 2027-01-01 secret-in-clear", "line 1 is not NAME"),
        (line("10.0.0.7", "t"), "line 1: the name cannot be an address"),
        (line("local", "t"), "line 1: the name cannot be an address"),
        (line("search", "t").upper(), "line 1 is not NAME sha256:HEX"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(text: str, fault: str) -> None:
    """It may hold a token."""
    with pytest.raises(ValueError, match=fault) as raised:
        read_tokens(text)
    assert "secret-in-clear" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "two words", "10.0.0.7", "local", "#x", "x" * 513])
def test_a_name_that_cannot_be_one(name: str) -> None:
    """Addresses are the names of those who have shown nothing."""
    with pytest.raises(ValueError, match="must be one word"):
        new_token(name)
