"""The conformance kit notices a program that lies: a check that cannot fail shows nothing."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import compare
from cases import load
from compare import differences, upstream_differences
from fits import fits
from headgate.v1 import chat_pb2 as pb
from upstream import Attempt

if TYPE_CHECKING:
    from cases import Case

SUITE = load()


def case_of(name: str) -> Case:
    return next(case for case in SUITE.cases if case.name == name)


def _encoded(*messages: Any) -> list[str]:
    return [base64.b64encode(message.SerializeToString()).decode() for message in messages]


def _event(**event: Any) -> pb.StreamChatResponse:
    return pb.StreamChatResponse(**event)


CREATED = Timestamp(seconds=1700000000)
STOPPED = pb.ChoiceFinish(finish_reason=pb.FINISH_REASON_STOP, finish_reason_raw="stop")
EVENTS = [
    _event(started=pb.StreamStarted(id="c-1", model="scripted", create_time=CREATED)),
    _event(delta=pb.ChatDelta(content="Hello there", position=2)),
    _event(delta=pb.ChatDelta(content=", friend!", position=5)),
    _event(
        finished=pb.StreamFinished(
            choices=[STOPPED],
            gateway=pb.GatewayInfo(attempts=1),
        )
    ),
]
HONEST: dict[str, Any] = {
    "code": "OK",
    "message": "",
    "reason": "",
    "retry_delay_ms": None,
    "metadata": {},
    "violations": [],
    "trailers": {"x-request-id": "7"},
    "events": [["started", 1], ["delta", 2], ["finished", 1]],
    "text": {"0": "Hello there, friend!"},
    "messages": _encoded(*EVENTS),
    "elapsed_ms": 12,
}
REFUSED: dict[str, Any] = HONEST | {
    "code": "RESOURCE_EXHAUSTED",
    "message": "too late",
    "reason": "WAIT_TOO_LONG",
    "retry_delay_ms": 400,
    "trailers": {
        "x-request-id": "7",
        "headgate-reason": "WAIT_TOO_LONG",
        "headgate-retry-after-ms": "400",
        "grpc-retry-pushback-ms": "460",
    },
    "events": [],
    "text": {},
    "messages": [],
}
STREAM = case_of("stream").steps[0]
WAIT = case_of("wait_too_long_with_true_retry_info").steps[1]


def test_an_honest_program_is_believed() -> None:
    """Without this the next tests could pass for the wrong reason."""
    assert differences(STREAM, [HONEST]) == []
    assert differences(WAIT, [REFUSED]) == []


LIES_OF_A_STREAM: dict[str, tuple[str, dict[str, Any]]] = {
    "another code": ("code: expected", {"code": "UNAVAILABLE"}),
    "an error beside OK": ("OK comes with an error's facts", {"reason": "INTERNAL"}),
    "fewer events than messages": (
        "it tells the events",
        {"events": [["started", 1], ["delta", 1], ["finished", 1]]},
    ),
    "a text that was not sent": (
        "the text that it tells is not",
        {"text": {"0": "Hello there, friend"}},
    ),
    "no text": ("the text that it tells is not", {"text": {}}),
    "no messages": ("it tells the events", {"messages": []}),
    "no end": ("0 `finished`", {"events": HONEST["events"][:2], "messages": _encoded(*EVENTS[:3])}),
    "an end before the end": (
        "not the last event",
        {
            "events": [["started", 1], ["delta", 1], ["finished", 1], ["delta", 1]],
            "messages": _encoded(EVENTS[0], EVENTS[1], EVENTS[3], EVENTS[2]),
        },
    ),
    "two ends": (
        "2 `finished`",
        {
            "events": [["started", 1], ["delta", 2], ["finished", 2]],
            "messages": _encoded(*EVENTS, EVENTS[3]),
        },
    ),
    "no start": (
        "0 `started`",
        {"events": HONEST["events"][1:], "messages": _encoded(*EVENTS[1:])},
    ),
    "a delta twice": (
        "positions that do not rise",
        {
            "events": [["started", 1], ["delta", 3], ["finished", 1]],
            "messages": _encoded(EVENTS[0], EVENTS[1], *EVENTS[1:]),
            "text": {"0": "Hello thereHello there, friend!"},
        },
    ),
    "positions that stand still": (
        "positions that do not rise",
        {
            "messages": _encoded(*EVENTS[:2], _event(delta={"content": ", friend!", "position": 2}))
            + _encoded(EVENTS[3])
        },
    ),
    "messages that are none": ("cannot be read", {"messages": ["AAAA"]}),
    "no base64": ("cannot be read", {"messages": ["?"]}),
    "more time than there was": ("answered after", {"elapsed_ms": 5000}),
    "a number for a text": ("code is 0", {"code": 0}),
    "nothing for a list": ("events is None", {"events": None}),
    "a key of its own": ("does not have: mood", {"mood": "good"}),
}


@pytest.mark.parametrize("lie", LIES_OF_A_STREAM)
def test_a_lie_about_a_stream_is_noticed(lie: str) -> None:
    """Whatever a program tells that cannot have been so is a difference."""
    complaint, told = LIES_OF_A_STREAM[lie]
    assert complaint in "\n".join(differences(STREAM, [HONEST | told], took_ms=1000))


@pytest.mark.parametrize("key", sorted(HONEST))
def test_a_key_that_is_left_out_has_to_be_declared(key: str) -> None:
    """Otherwise silence would be the easiest way to pass."""
    silent = {name: value for name, value in HONEST.items() if name != key}
    line = f"left out, and not declared as such: {key}"
    assert line in differences(STREAM, [silent])
    assert line not in differences(STREAM, [silent], cannot_fill=[key])


LIES_OF_A_REFUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "another reason than the trailer": (
        "the trailer says 'WAIT_TOO_LONG'",
        {"reason": "QUEUE_FULL"},
    ),
    "no reason": ("reason: expected", {"reason": "", "trailers": {}}),
    "no delay": ("the retry delay is None", {"retry_delay_ms": None}),
    "another delay than the trailer": ("the retry delay is 300", {"retry_delay_ms": 300}),
    "too long a delay": (
        "retry_delay_ms: expected",
        {
            "retry_delay_ms": 9000,
            "trailers": REFUSED["trailers"] | {"headgate-retry-after-ms": "9000"},
        },
    ),
    "pushback 0": (
        "the pushback is 0 ms",
        {"trailers": REFUSED["trailers"] | {"grpc-retry-pushback-ms": "0"}},
    ),
    "no pushback": (
        "no grpc-retry-pushback-ms",
        {"trailers": {k: v for k, v in REFUSED["trailers"].items() if not k.startswith("grpc-")}},
    ),
    "no request id": (
        "no x-request-id",
        {"trailers": {k: v for k, v in REFUSED["trailers"].items() if k != "x-request-id"}},
    ),
    "an event": (
        "events: expected",
        {"events": [["queued", 1]], "messages": _encoded(_event(queued={"position": 1}))},
    ),
    "a long message": ("longer than 512", {"message": "x" * 513}),
}


@pytest.mark.parametrize("lie", LIES_OF_A_REFUSAL)
def test_a_lie_about_a_refusal_is_noticed(lie: str) -> None:
    """The typed error and the plain trailers have to tell the same."""
    complaint, told = LIES_OF_A_REFUSAL[lie]
    assert complaint in "\n".join(differences(WAIT, [REFUSED | told]))


def test_every_expectation_of_every_case_can_fail() -> None:
    """A program that tells nothing but a code of its own passes no step of any case."""
    mute: dict[str, Any] = {k: type(v)() for k, v in HONEST.items() if v is not None}
    mute |= {"code": "DATA_LOSS", "retry_delay_ms": None}
    for case in SUITE.cases:
        for step in (step for step in case.steps if step.call):
            told = [copy.deepcopy(mute)] * (step.call or {}).get("count", 1)
            assert differences(step, told), case.name


def test_alternatives_are_counted() -> None:
    """Three of five calls answered, two refused: not four, and not three and something else."""
    step = case_of("queue_full_with_true_retry_info").steps[0]
    refused = copy.deepcopy(REFUSED)
    refused |= {"reason": "QUEUE_FULL", "retry_delay_ms": 1500}
    refused["trailers"] |= {
        "headgate-reason": "QUEUE_FULL",
        "headgate-retry-after-ms": "1500",
        "grpc-retry-pushback-ms": "1570",
    }
    assert differences(step, [HONEST] * 3 + [refused] * 2) == []
    assert differences(step, [HONEST] * 4 + [refused])
    assert differences(step, [HONEST] * 3 + [refused, REFUSED])


def _attempt(**facts: Any) -> Attempt:
    seen: dict[str, Any] = {"at": 0.0, "body": {"model": "words"}, "headers": {}, "size": 1}
    return Attempt(**seen | facts)


@pytest.mark.parametrize(
    ("expected", "attempts"),
    [
        ({"attempts": 1}, []),
        ({"attempts": 0}, [_attempt()]),
        ({"cancelled": True}, [_attempt(over_at=1.0)]),
        ({"cancelled": True}, []),
        ({"gap_ms": [499, 5000]}, [_attempt(), _attempt(at=0.4)]),
        ({"gap_ms": [499, 5000]}, [_attempt()]),
        ({"body": {"model": "other"}}, [_attempt()]),
        ({"absent": ["model"]}, [_attempt()]),
        ({"headers": {"x-request-id": "7"}}, [_attempt()]),
        ({"size": {"$between": [2, 3]}}, [_attempt()]),
    ],
)
def test_what_the_upstream_saw_counts(expected: dict[str, Any], attempts: list[Attempt]) -> None:
    """Attempts, cancellation, pace and the request itself."""
    assert upstream_differences(expected, attempts)


@pytest.mark.parametrize(
    ("expected", "actual", "fit"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": None}, {"b": 2}, True),
        ({"a": None}, {"a": 0}, False),
        ([1, {"$any": True}], [1, 2], True),
        ([1], [1, 2], False),
        ({"$between": [1, 2]}, "1.5s", True),
        ({"$between": [1, 2]}, "1500", False),
        ({"$between": [0, 1]}, True, False),
        ({"$between": [0, 1]}, None, False),
        ({"$contains": "b"}, "abc", True),
        ({"$contains": "b"}, None, False),
        ({"$starts": "b"}, "abc", False),
        ({"$repeats": ["ab", 2]}, "abab", True),
        ({"$repeats": ["ab", 2]}, "ababab", False),
        ({"$in": ["a", "b"]}, "c", False),
        ({"$any": True}, None, False),
    ],
)
def test_the_rules_of_values(expected: Any, actual: Any, fit: bool) -> None:
    """What is expected names only what matters, and means it."""
    assert (fits(expected, actual, "value") == []) is fit


@pytest.mark.parametrize(
    ("pattern", "events", "fit"),
    [
        ("started delta+ finished", [["started", 1], ["delta", 9], ["finished", 1]], True),
        ("started delta+ finished", [["started", 1], ["finished", 1]], False),
        ("started delta{3,} finished", [["started", 1], ["delta", 2], ["finished", 1]], False),
        ("(queued|heartbeat)+", [["queued", 1], ["heartbeat", 2], ["queued", 1]], True),
        ("", [["queued", 1]], False),
        ("", [], True),
    ],
)
def test_the_patterns_of_events(pattern: str, events: list[Any], fit: bool) -> None:
    """A regular expression over their names: how deltas were merged does not matter."""
    assert (compare._events(pattern, events, "events") == []) is fit
