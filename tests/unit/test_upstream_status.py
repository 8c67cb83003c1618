"""The table from HTTP statuses to errors (design section 5), and whose words a caller hears."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.errors import (
    UpstreamCredentials,
    UpstreamError,
    UpstreamLimit,
    UpstreamNotFound,
    UpstreamRejected,
    UpstreamUnavailable,
)
from headgate.upstream_status import MAX_MESSAGE, error_for_status, error_in_body, message_of

ROWS = {
    UpstreamLimit: {429},
    UpstreamCredentials: {401, 402, 403},
    UpstreamNotFound: {404},
    UpstreamUnavailable: {408, 409, 425, *range(500, 600)},
}
SPECIAL = set().union(*ROWS.values())


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_has_its_error(status: int) -> None:
    """300 to 599, each by the table; what is not named is a rejection."""
    expected = next((kind for kind, codes in ROWS.items() if status in codes), UpstreamRejected)
    error = error_for_status(status)
    assert type(error) is expected
    assert error.metadata["upstream_status"] == str(status)
    assert str(status) in error.message
    if isinstance(error, UpstreamRejected):
        assert error.invalid == (status in {400, 413, 422})


def test_retry_after_is_kept_where_a_retry_makes_sense() -> None:
    """On a 429 and on a 5xx."""
    assert error_for_status(429, retry_after=7).retry_after == 7
    assert error_for_status(503, retry_after=7).retry_after == 7
    assert error_for_status(400, retry_after=7).retry_after is None


@pytest.mark.parametrize("status", range(300, 600))
def test_whose_words_are_heard(status: int) -> None:
    """The upstream's own only where the request was at fault; else they may speak of our key."""
    heard = "key sk-1" in error_for_status(status, "key sk-1").message
    assert heard == (status in {400, 404, 413, 422})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow"}, UpstreamLimit),
        ({"code": "429"}, UpstreamLimit),
        ({"code": 400, "message": "bad"}, UpstreamRejected),
        ({"code": 401}, UpstreamCredentials),
        ({"code": 503}, UpstreamUnavailable),
        ({"code": 200}, UpstreamUnavailable),
        ({"code": 399}, UpstreamUnavailable),
        ({"code": 600}, UpstreamUnavailable),
        ({"code": "4290000"}, UpstreamUnavailable),
        ({"code": "४२९"}, UpstreamUnavailable),
        ({"code": True}, UpstreamUnavailable),
        ({"code": 429.0}, UpstreamUnavailable),
        ({"code": None}, UpstreamUnavailable),
        ({"code": "context_length_exceeded"}, UpstreamUnavailable),
        ("overloaded", UpstreamUnavailable),
        (17, UpstreamUnavailable),
        ([], UpstreamUnavailable),
    ],
    ids=str,
)
def test_an_error_in_a_200(error: object, kind: type[UpstreamError]) -> None:
    """By its numeric code as if it were the status; anything else is trouble upstream."""
    found = error_in_body(error)
    assert type(found) is kind
    assert found.cause == "error_event"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "too hot"}}, "too hot"),
        ({"error": "too hot"}, "too hot"),
        ({"message": "too hot", "code": 400}, "too hot"),
        ({"detail": [{"msg": "too hot"}, {"msg": "too cold"}]}, "too hot"),
        ({"detail": [{"loc": ["body", "n", 0], "msg": "too hot"}]}, "body.n.0: too hot"),
        ({"loc": ["a\nb", {}, None], "msg": "too hot"}, "a b: too hot"),
        ({"loc": [], "msg": "too hot"}, "too hot"),
        ({"detail": "too hot"}, "too hot"),
        ([{"error": {"message": "too hot"}}], "too hot"),
        ("too \n\t hot\r\n", "too hot"),
        ({"error": None, "message": "too hot"}, "too hot"),
        ({"error": {"code": 1}}, ""),
        ({"error": [[]]}, ""),
        (None, ""),
        (3.5, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_words_from_every_shape(body: Any, words: str) -> None:
    """OpenAI's, FastAPI's, plain texts: one line of it."""
    assert message_of(body) == words


def test_words_are_bounded() -> None:
    """A page of text is cut, wherever it stands, and deep nesting is no crash."""
    page = "word " * 10_000
    for body in (page, {"msg": page}, {"loc": [page], "msg": page}):
        assert len(message_of(body)) == MAX_MESSAGE
    deep: Any = "x"
    for _ in range(10_000):
        deep = {"error": [deep]}
    assert message_of(deep) == ""
