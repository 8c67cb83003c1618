"""No secret in a message, whole or cut."""

from __future__ import annotations

import pytest

from headgate.secrets import TELLING, Secrets

KEY = "sk-0123456789abcdef"


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    """Every one of them, and all secrets that there are."""
    secrets = Secrets([KEY, None, "", "header-value"])

    assert secrets.conceal(f"bad {KEY}, {KEY} and header-value") == "bad ***, *** and ***"


@pytest.mark.parametrize("length", range(TELLING, len(KEY)))
def test_a_secret_that_was_cut_is_hidden_too(length: int) -> None:
    """Long messages are cut, and the cut may go through a key."""
    assert Secrets([KEY]).conceal(f"bad key {KEY[:length]}") == "bad key ***"


def test_a_word_of_a_secret_is_one_too() -> None:
    """Headers have schemes, and upstreams quote the bare token; Bearer itself stays."""
    secrets = Secrets([f"Bearer {KEY}", "Basic dXNlcjpwYXNz"])

    assert secrets.conceal(f"Bearer {KEY}, dXNlcjpwYXNz") == "***, ***"
    assert secrets.conceal(f"Bearer expected, got {KEY}") == "Bearer expected, got ***"
    assert secrets.conceal(f"got {KEY[:-3]}") == "got ***"


def test_other_messages_stay_as_they_are() -> None:
    """Without a secret in it there is nothing to hide."""
    assert Secrets([KEY]).conceal("ask sk-") == "ask sk-"
