"""What both faces do to a request: all faults at once, the allow-list, the system prompt."""

from __future__ import annotations

import math
from typing import Any

import pytest

from headgate import wire
from headgate.errors import FieldViolation, InvalidRequest
from headgate.intake import Intake
from headgate.system_prompt import SystemPrompt, SystemPromptOverride
from headgate.upstream import Call, Silent

PROMPT = SystemPrompt("Be brief.", "if_absent", allow_override=False)
ALLOWED = ["top_k", "deep"]


def request(**fields: Any) -> wire.ChatRequest:
    fields.setdefault("messages", [wire.Message(role="user", content="Hi")])
    return wire.ChatRequest(**fields)


def admit(body: wire.ChatRequest | None = None, **kwargs: Any) -> Call:
    return Intake(PROMPT, ALLOWED).admit(body or request(), caller="ada", **kwargs)


def refusal(body: wire.ChatRequest | None = None, **kwargs: Any) -> list[FieldViolation]:
    with pytest.raises(InvalidRequest) as caught:
        admit(body, **kwargs)
    return caught.value.violations


def test_a_call_carries_what_was_said() -> None:
    """Every argument has its place in the Call."""
    observer = Silent()
    call = admit(
        extra={"top_k": 4},
        deadline=9.0,
        priority=2,
        max_queue_wait=1.5,
        prior_attempts=3,
        mesh_attempts=2,
        request_id="r-1",
        labels={"team": "a"},
        observer=observer,
    )
    assert (call.caller, call.deadline, call.priority, call.max_queue_wait) == ("ada", 9.0, 2, 1.5)
    assert (call.prior_attempts, call.mesh_attempts) == (3, 2)
    assert (call.request_id, call.labels) == ("r-1", {"team": "a"})
    assert call.extra == {"top_k": 4}
    assert call.observer is observer


def test_the_system_prompt_is_put_in() -> None:
    """And the call says so, for GatewayInfo."""
    call = admit()
    assert call.system_prompt_applied
    assert [m.role for m in call.request.messages] == ["system", "user"]


def test_the_faults_of_all_rules_come_together() -> None:
    """The face's findings, the rules', a forbidden prompt and the allow-list: one refusal."""
    wrong = refusal(
        request(temperature=3.0),
        found=[FieldViolation("messages[0].parts", "is odd")],
        system_prompt=SystemPromptOverride("none"),
        extra={"secret_mode": 1},
    )
    assert [violation.field for violation in wrong] == [
        "messages[0].parts",
        "temperature",
        "system_prompt",
        "extra.secret_mode",
    ]


def test_what_is_not_allowed_names_the_setting() -> None:
    """The operator's list is shown, so that nobody has to guess."""
    (violation,) = refusal(extra={"grammar": "x"})
    assert "upstream.extra_allowed: deep, top_k" in violation.description
    with pytest.raises(InvalidRequest, match=r"extra_allowed: none"):
        Intake(PROMPT).admit(request(), caller="", extra={"grammar": "x"})


@pytest.mark.parametrize("name", sorted(wire.KNOWN_REQUEST_FIELDS))
def test_extra_may_not_name_a_field_of_the_contract(name: str) -> None:
    """Not even when the operator allows it by mistake: `stream` would break the face."""
    with pytest.raises(InvalidRequest, match="field of the contract"):
        Intake(PROMPT, [name]).admit(request(), caller="", extra={name: 1})


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, [1, [math.nan]], {"a": {"b": math.inf}}]
)
def test_extra_holds_only_what_json_can_say(value: Any) -> None:
    """NaN and infinity are refused however deep they are."""
    (violation,) = refusal(extra={"deep": value})
    assert violation.field == "extra.deep"


def test_extra_may_hold_anything_else() -> None:
    """Allowed names pass with any JSON value."""
    extra = {"deep": {"a": [1, 2.5, None, True, "x"]}, "top_k": 4}
    assert admit(extra=extra).extra == extra


@pytest.mark.parametrize(
    ("keys", "key"),
    [(("", ""), ""), (("a", ""), "a"), (("", "b"), "b"), (("c", "c"), "c")],
)
def test_an_idempotency_key_comes_by_field_or_metadata(keys: tuple[str, str], key: str) -> None:
    """Empty is none; both may say the same."""
    assert admit(idempotency_keys=keys).idempotency_key == key


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("a", "b"), "differs from the metadata"),
        (("k" * 256, ""), "1 to 255 visible ASCII characters"),
        (("", "two words"), "1 to 255 visible ASCII characters"),
        (("k\n", ""), "1 to 255 visible ASCII characters"),
        (("ключ", "ключ"), "1 to 255 visible ASCII characters"),
    ],
)
def test_what_is_no_idempotency_key(keys: tuple[str, str], said: str) -> None:
    """Reported with the rest, under the name of the field."""
    other, key = refusal(request(temperature=3.0), idempotency_keys=keys)
    assert (other.field, key.field) == ("temperature", "idempotency_key")
    assert said in key.description
