"""What both faces do to a request, once: the rules, the allow-list, the system prompt; then a Call.

Kept in one place, so that what guards one face guards the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate import wire
from headgate.errors import FieldViolation, InvalidRequest
from headgate.upstream import Call, Silent
from headgate.validate import is_finite, key_violations, violations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headgate.system_prompt import SystemPrompt, SystemPromptOverride
    from headgate.upstream import Observer

# Beside the contract's field, so that a mesh can route by it.
KEY_HEADER = "idempotency-key"
# Names that the gateway decides itself; the contract's own names are forbidden too.
_OURS = frozenset({"stream", "stream_options", "max_completion_tokens", "top_logprobs"})
_CONTRACT = wire.KNOWN_REQUEST_FIELDS | _OURS


class Intake:
    """Turns requests into Calls.

    Args:
        system_prompt: the configured prompt and its policy.
        extra_allowed: names of upstream parameters that a request may set in `extra`.
    """

    def __init__(self, system_prompt: SystemPrompt, extra_allowed: Iterable[str] = ()) -> None:
        self.change(system_prompt, extra_allowed)

    def change(self, system_prompt: SystemPrompt, extra_allowed: Iterable[str]) -> None:
        """Other rules, for the requests that come from now on."""
        self._system_prompt = system_prompt
        self._extra_allowed = frozenset(extra_allowed)

    def admit(
        self,
        request: wire.ChatRequest,
        *,
        caller: str,
        extra: Mapping[str, Any] | None = None,
        deadline: float | None = None,
        system_prompt: SystemPromptOverride | None = None,
        priority: int = 0,
        max_queue_wait: float | None = None,
        prior_attempts: int = 0,
        mesh_attempts: int = 0,
        request_id: str = "",
        labels: Mapping[str, str] | None = None,
        observer: Observer | None = None,
        idempotency_keys: tuple[str, str] = ("", ""),
        found: Iterable[FieldViolation] = (),
    ) -> Call:
        """A Call for the corridor; `request` is changed in place and belongs to it from here on.

        Args:
            idempotency_keys: of the contract's field and of the metadata; empty ones are none.
            found: what the face itself found wrong; reported together with the rest.

        Raises:
            InvalidRequest: with every wrong field.
        """
        wrong = [
            *found,
            *violations(request),
            *self._system_prompt.violations(system_prompt),
            *self._wrong_extra(extra or {}),
            *key_violations(*idempotency_keys),
        ]
        if wrong:
            raise InvalidRequest(wrong)
        request.messages, applied = self._system_prompt.apply(request.messages, system_prompt)
        return Call(
            request=request,
            extra=extra or {},
            caller=caller,
            priority=priority,
            deadline=deadline,
            max_queue_wait=max_queue_wait,
            prior_attempts=prior_attempts,
            mesh_attempts=mesh_attempts,
            request_id=request_id,
            labels=labels or {},
            observer=observer or Silent(),
            system_prompt_applied=applied,
            idempotency_key=idempotency_keys[0] or idempotency_keys[1],
        )

    def _wrong_extra(self, extra: Mapping[str, Any]) -> Iterable[FieldViolation]:
        for name, value in extra.items():
            if name in _CONTRACT:
                yield FieldViolation(f"extra.{name}", "is a field of the contract; set it there")
            elif name not in self._extra_allowed:
                allowed = ", ".join(sorted(self._extra_allowed)) or "none"
                yield FieldViolation(
                    f"extra.{name}",
                    f"is not allowed by this server (upstream.extra_allowed: {allowed})",
                )
            elif not is_finite(value):
                yield FieldViolation(f"extra.{name}", "holds NaN or infinity, which JSON has not")
