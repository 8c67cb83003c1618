"""`cases.json`: the named cases and the gateways that they need, read and checked."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from headgate.v1 import chat_pb2 as pb

CASES = Path(__file__).with_name("cases.json")
HELLO = [{"role": "ROLE_USER", "content": "Hello!"}]
METHODS = ("Chat", "StreamChat")
CALL_KEYS = {
    "method", "request", "fill", "metadata", "timeout_ms", "cancel", "count", "helper", "pause_ms",
}  # fmt: skip
EXPECT_KEYS = {
    "times", "code", "message", "reason", "retry_delay_ms", "metadata", "violations", "trailers",
    "events", "text", "text_starts", "text_length", "answers", "started", "finished", "queued",
    "response", "deltas", "positions", "takes_ms",
}  # fmt: skip
UPSTREAM_KEYS = {"attempts", "cancelled", "body", "absent", "headers", "gap_ms", "size"}
STEP_KEYS = {
    "call", "expect", "upstream", "wait", "busy", "meanwhile", "gateway", "options", "tokens",
    "sent_away",
}  # fmt: skip
CASE_KEYS = {"name", "about", "gateway", "fresh", "quiet", "steps"}
EVENTS = {"started": "s", "delta": "d", "finished": "f", "queued": "q", "heartbeat": "h"}


class CaseError(Exception):
    """A case that is not well formed; the message is one line that names it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that is done.

    Attributes:
        call: what the program is told, without name and request's bytes; None: no call is made.
        expect: what the program must have seen: for each call of `count` the same, or a list of
            alternatives with how many times each.
        upstream: what the upstream must have seen of the case so far.
        wait: before the call: milliseconds, or `retry_delay` for what the step before was told.
        busy: calls that the kit itself keeps running at the gateway during the step.
        meanwhile: what the kit does to the gateway during the call: `do`, `when` (`called`;
            `speaking`: the upstream has begun to answer; `in_line`: all calls wait for a slot),
            and `after_ms` more.
        gateway: what the kit does to the gateway before: `stop`, `start`, `restart`, `replace`.
        options: with which the program is started, in place of those that the gateway names.
        tokens: names of those that the gateway lets in from this step on.
        sent_away: how many calls the gateway that was replaced has refused because it goes.
    """

    call: dict[str, Any] | None = None
    expect: list[dict[str, Any]] = field(default_factory=list)
    upstream: dict[str, Any] = field(default_factory=dict)
    wait: float | str | None = None
    busy: dict[str, Any] | None = None
    meanwhile: dict[str, Any] | None = None
    gateway: str | None = None
    options: list[str] | None = None
    tokens: list[str] | None = None
    sent_away: int | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One named behaviour.

    Attributes:
        fresh: it has a gateway and a program to itself, because it stops the one, or counts on
            what the other has not seen yet.
        quiet: nothing else runs at the same time.
    """

    name: str
    about: str
    gateway: str
    steps: tuple[Step, ...]
    fresh: bool = False
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A kind of gateway, and how programs connect to it.

    Attributes:
        settings: headgate's, sections nested.
        options: of the programs, such as `--token`.
        tokens: names of those that it lets in at first.
        second: what differs in the settings of the one that can replace it.
    """

    about: str
    settings: dict[str, Any]
    options: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    second: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Everything in the file; gateways by name."""

    gateways: dict[str, Gateway]
    cases: tuple[Case, ...]


def load(path: Path = CASES) -> Suite:
    """Read the cases.

    Raises:
        CaseError: one of them is not well formed.
    """
    return parse(json.loads(path.read_text("utf-8")))


def parse(data: dict[str, Any]) -> Suite:
    """As `load`, from the file's JSON."""
    gateways = {name: Gateway(**entry) for name, entry in data["gateways"].items()}
    cases = tuple(_case(entry, gateways) for entry in data["cases"])
    for case in cases:
        _check_gateway(case, gateways[case.gateway])
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CaseError(f"{twice[0]}: the name stands twice")
    return Suite(gateways=gateways, cases=cases)


def request_of(call: dict[str, Any]) -> pb.ChatRequest:
    """The request of a call; without messages it says hello.

    Raises:
        ParseError: it is no ChatRequest.
    """
    wanted = {"messages": HELLO} | call.get("request", {})
    request: pb.ChatRequest = ParseDict(wanted, pb.ChatRequest())
    return request


def line_of(name: str, call: dict[str, Any], user: str) -> dict[str, Any]:
    """What the program is given; `user` is the key by which the upstream knows the call."""
    request = request_of(call)
    request.user = user
    data = base64.b64encode(request.SerializeToString()).decode()
    return call | {"name": name, "request": data}


def _case(entry: dict[str, Any], gateways: dict[str, Any]) -> Case:
    name = entry.get("name", "")
    if not name or not entry.get("about"):
        raise CaseError(f"{name or entry}: a case has a name and says what it is about")
    short = {key: entry[key] for key in STEP_KEYS - {"gateway"} if key in entry}
    _known(name, entry.keys() - short.keys(), CASE_KEYS)
    if bool(short) == ("steps" in entry):
        raise CaseError(f"{name}: either steps, or one call with what is expected")
    if entry.get("gateway", "plain") not in gateways:
        raise CaseError(f"{name}: there is no gateway {entry['gateway']!r}")
    steps = tuple(_step(name, step) for step in entry.get("steps", [short]))
    return Case(
        name=name,
        about=entry["about"],
        gateway=entry.get("gateway", "plain"),
        fresh=entry.get("fresh", False),
        quiet=entry.get("quiet", False),
        steps=steps,
    )


def _check_gateway(case: Case, gateway: Gateway) -> None:
    """What changes a gateway needs one that can be changed, and that no other case sees."""
    done = {step.gateway for step in case.steps}
    done |= {step.meanwhile["do"] for step in case.steps if step.meanwhile}
    rotated = any(step.tokens is not None for step in case.steps)
    if "replace" in done and not gateway.second:
        raise CaseError(f"{case.name}: {case.gateway} has no second one to replace it")
    if rotated and not gateway.tokens:
        raise CaseError(f"{case.name}: {case.gateway} has no tokens to change")
    if (rotated or done - {None}) and not case.fresh:
        raise CaseError(f"{case.name}: what changes its gateway must be fresh")


def _step(name: str, entry: dict[str, Any]) -> Step:
    _known(name, entry.keys(), STEP_KEYS)
    expect = entry.get("expect", [])
    alternatives = [expect] if isinstance(expect, dict) else expect
    for alternative in alternatives:
        _known(name, alternative.keys(), EXPECT_KEYS)
    _known(name, entry.get("upstream", {}).keys(), UPSTREAM_KEYS)
    if call := entry.get("call"):
        _check_call(name, call, alternatives)
    return Step(**entry | {"expect": alternatives})


def _check_call(name: str, call: dict[str, Any], alternatives: list[dict[str, Any]]) -> None:
    _known(name, call.keys(), CALL_KEYS)
    if call.get("method") not in METHODS:
        raise CaseError(f"{name}: the method is one of {', '.join(METHODS)}")
    if not all("code" in alternative for alternative in alternatives) or not alternatives:
        raise CaseError(f"{name}: every call expects at least a code")
    times = sum(alternative.get("times", call.get("count", 1)) for alternative in alternatives)
    if times != call.get("count", 1):
        raise CaseError(f"{name}: {times} results are expected of {call.get('count', 1)} calls")
    try:
        request_of(call)
    except ParseError as error:
        raise CaseError(f"{name}: {error}") from error


def _known(name: str, keys: Any, allowed: set[str]) -> None:
    if unknown := sorted(set(keys) - allowed):
        raise CaseError(f"{name}: {unknown[0]!r} is not known here; {', '.join(sorted(allowed))}")
