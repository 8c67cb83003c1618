"""The configured prompt and the request's wish: every mode against every override."""

from __future__ import annotations

import pytest

from headgate import wire
from headgate.system_prompt import Mode, SystemPrompt, SystemPromptOverride

PLAIN = ("user",)
OWN = ("system", "user")
DEVELOPER = ("developer", "user")
LATE = ("user", "system")
NONE = SystemPromptOverride("none")
REPLACE = SystemPromptOverride("replace", "theirs")
CONVERSATIONS = {"plain": PLAIN, "own": OWN, "developer": DEVELOPER, "late": LATE}

# What goes in front, whether the messages' own prompts stay.
Row = tuple[Mode, SystemPromptOverride | None, str, str | None, bool]
TABLE: list[Row] = [
    ("if_absent", None, "plain", "ours", True),
    ("if_absent", None, "own", None, True),
    ("if_absent", None, "developer", None, True),
    ("if_absent", None, "late", None, True),
    *(("prepend", None, name, "ours", True) for name in CONVERSATIONS),
    *(("replace", None, name, "ours", False) for name in CONVERSATIONS),
    *(("none", None, name, None, True) for name in CONVERSATIONS),
    *(
        (mode, NONE, name, None, True)
        for mode in ("if_absent", "prepend", "replace", "none")
        for name in CONVERSATIONS
    ),
    *(
        (mode, REPLACE, name, "theirs", False)
        for mode in ("if_absent", "prepend", "replace", "none")
        for name in CONVERSATIONS
    ),
]


def conversation(roles: tuple[str, ...]) -> list[wire.Message]:
    return [wire.Message(role=role, content=f"{role} says") for role in roles]


@pytest.mark.parametrize(("mode", "override", "name", "front", "own_stays"), TABLE)
def test_table(
    mode: Mode,
    override: SystemPromptOverride | None,
    name: str,
    front: str | None,
    own_stays: bool,
) -> None:
    """The prompt in front, or none; everybody else's words untouched and in order."""
    messages = conversation(CONVERSATIONS[name])
    prompt = SystemPrompt("ours", mode, allow_override=True)
    kept = [m for m in messages if own_stays or m.role not in ("system", "developer")]
    expected = [wire.Message(role="system", content=front), *kept] if front else kept

    applied = prompt.apply(messages, override)

    assert applied == (expected, front is not None)
    assert messages == conversation(CONVERSATIONS[name])


@pytest.mark.parametrize("mode", ["if_absent", "prepend", "replace", "none"])
def test_without_a_text_nothing_is_put_in(mode: Mode) -> None:
    """An empty prompt is no prompt, and takes nobody else's away."""
    messages = conversation(OWN)
    assert SystemPrompt("", mode, allow_override=True).apply(messages) == (messages, False)


@pytest.mark.parametrize("override", [NONE, REPLACE])
def test_a_forbidden_override_is_named(override: SystemPromptOverride) -> None:
    """The refusal names the field and the setting that caused it."""
    closed = SystemPrompt("ours", "if_absent", allow_override=False)
    opened = SystemPrompt("ours", "if_absent", allow_override=True)

    (violation,) = closed.violations(override)

    assert violation.field == "system_prompt"
    assert "system_prompt.allow_override" in violation.description
    assert list(opened.violations(override)) == []
    assert list(closed.violations(None)) == []
