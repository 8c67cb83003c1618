"""The conformance kit: its file is well formed, and the Python program passes."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from behaviours import BEHAVIOURS
from cases import CASES, CaseError, Gateway, Suite, load, parse, request_of
from gateways import StartError
from headgate.v1 import chat_pb2 as pb
from papers import Papers, PapersError
from programs import ROOT, Language, ProgramError, languages
from report import BEGIN, END, Table, write_between_markers
from run import Outcome, Runner
from support.ports import free_port
from upstream import ConformanceUpstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cases import Case

SUITE = load()
PYTHON = next(language for language in languages() if language.name == "python")
# Each of them says something that no other one does; together they take a few seconds.
QUICK = [
    "stream", "chat", "text_helper", "text_helper_cancelled", "every_field", "unset_is_not_zero",
    "unicode_both_ways", "split_code_point", "large_delta", "usage_unset_is_not_zero",
    "several_choices", "tool_calls", "logprobs", "wrong_fields_at_once",
    "violations_beyond_the_room", "upstream_400", "upstream_401", "upstream_500",
    "retry_then_success", "cut_after_three", "error_event_after_two", "cancel_streaming",
    "cancel_before_the_first_token", "deadline_streaming", "heartbeats_before_the_first_token",
    "upstream_429_with_true_retry_info", "request_of_16_mib", "ten_thousand_deltas",
    "joined_streams", "idempotency_mismatch", "token_right", "token_missing", "mtls",
    "mtls_without_certificate", "goaway_moves_new_calls",
]  # fmt: skip


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Certificates and tokens."""
    return Papers(tmp_path_factory.mktemp("papers"))


def case_of(name: str) -> Case:
    return next(case for case in SUITE.cases if case.name == name)


async def run(
    suite: Suite, language: Language, cases: list[Case], papers: Papers
) -> dict[str, list[str]]:
    """The differences of each case."""
    async with ConformanceUpstream() as upstream:
        runner = Runner(suite, upstream, papers, lanes=2, tell=lambda _: None)
        outcomes = await runner.run([language], cases)
    return {outcome.case: outcome.differences for outcome in outcomes}


def test_there_are_enough_cases_of_every_kind() -> None:
    """At least 60, and each kind that the clients' issue names is among them."""
    names = {case.name for case in SUITE.cases}
    assert len(names) >= 60
    wanted = {"restart", "hundred_streams", "ten_thousand_deltas", "request_of_16_mib"}
    assert wanted | set(QUICK) <= names
    for kind in (
        "cancel_", "deadline_", "stop_", "retry_", "upstream_", "token_", "tls_", "mtls_", "goaway_"
    ):  # fmt: skip
        assert sum(name.startswith(kind) for name in names) >= 2, kind
    true_retry_info = [name for name in names if name.endswith("_with_true_retry_info")]
    assert len(true_retry_info) == 4


def test_the_page_has_a_row_for_every_case_and_a_column_for_every_language() -> None:
    """A table that was not written anew (--write-table) would tell of other cases."""
    page = (ROOT / "clients" / "README.md").read_text("utf-8")
    rows = page.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    columns = ["case", *(language.name for language in languages()), "what it shows"]
    assert rows[0] == f"| {' | '.join(columns)} |"
    told = {row.split("`")[1]: row.rsplit("| ", 2)[-1] for row in rows if row.startswith("| `")}
    assert told == {case.name: f"{case.about} |" for case in SUITE.cases}
    assert f"the same {len(SUITE.cases)} cases" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_model_of_a_case_is_a_behaviour() -> None:
    """A misspelt behaviour would be a 404 that some case might take for its own."""
    for case in SUITE.cases:
        for step in case.steps:
            model = request_of(step.call).model if step.call else ""
            name = model.partition(":")[0]
            assert name in {*BEHAVIOURS, "", "no-such-model"}, case.name


def test_every_reason_of_the_contract_is_seen_by_every_client() -> None:
    """But for a fault of the gateway's own, which nobody can order."""
    expected = {
        alternative.get("reason")
        for case in SUITE.cases
        for step in case.steps
        for alternative in step.expect
    }
    reasons = {
        name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.DESCRIPTOR.values_by_name
    }
    assert reasons - expected == {"UNSPECIFIED", "INTERNAL"}


def test_no_behaviour_and_no_gateway_is_there_for_nothing() -> None:
    """What no case uses is not proven by any."""
    text = CASES.read_text("utf-8")
    unused = [name for name in BEHAVIOURS if not re.search(rf'"{name}[":]|,{name}[",]', text)]
    assert unused == ["unknown"]  # any name that is not there is this one
    assert SUITE.gateways.keys() == {case.gateway for case in SUITE.cases}


def test_the_table_of_languages_is_well_formed() -> None:
    """Names are unique, and what a language cannot do is a case or a key, with a reason."""
    known = languages()
    assert len({language.name for language in known}) == len(known)
    for language in known:
        assert language.unsupported.keys() <= {case.name for case in SUITE.cases}, language.name
        for reason in (*language.unsupported.values(), *language.cannot_fill.values()):
            assert len(reason) > 20, language.name


def _misspelt(entry: dict[str, Any]) -> None:
    entry["expect"]["resaon"] = "INTERNAL"


def _without_code(entry: dict[str, Any]) -> None:
    del entry["expect"]["code"]


def _no_request(entry: dict[str, Any]) -> None:
    entry["call"]["request"] = {"modell": "words"}


def _no_gateway(entry: dict[str, Any]) -> None:
    entry["gateway"] = "nowhere"


def _wrong_count(entry: dict[str, Any]) -> None:
    entry["expect"] = [entry["expect"] | {"times": 2}]


def _no_second(entry: dict[str, Any]) -> None:
    entry |= {"fresh": True, "meanwhile": {"when": "called", "do": "replace"}}


def _stopped_for_all(entry: dict[str, Any]) -> None:
    entry["meanwhile"] = {"when": "called", "do": "stop"}


def _no_tokens(entry: dict[str, Any]) -> None:
    entry["tokens"] = ["search"]


def _no_words(entry: dict[str, Any]) -> None:
    entry["about"] = ""


@pytest.mark.parametrize(
    "spoil",
    [
        _misspelt, _without_code, _no_request, _no_gateway, _wrong_count, _no_words, _no_second,
        _stopped_for_all, _no_tokens,
    ],
)  # fmt: skip
def test_a_case_that_is_not_well_formed_is_refused(spoil: Callable[[dict[str, Any]], None]) -> None:
    """In one line that names it: a misspelt key would be a check that is never made."""
    data = json.loads(CASES.read_text("utf-8"))
    spoil(data["cases"][0])
    with pytest.raises(CaseError, match=r"^stream: "):
        parse(data)


def test_a_name_that_stands_twice_is_refused() -> None:
    """The table has one row for each."""
    data = json.loads(CASES.read_text("utf-8"))
    data["cases"].append(data["cases"][0])
    with pytest.raises(CaseError, match=r"^stream: the name stands twice$"):
        parse(data)


def test_what_a_case_names_is_there(papers: Papers) -> None:
    """A misspelt certificate would be an option that every program refuses."""
    for gateway in SUITE.gateways.values():
        papers.fill(json.dumps([gateway.settings, gateway.second, gateway.options]))
    for case in SUITE.cases:
        papers.fill(json.dumps([step.options for step in case.steps]))
    with pytest.raises(PapersError, match=r"no \{file:sarch\}; known: ca, callers_ca, "):
        papers.fill("{file:sarch}")


def test_the_python_program_passes(papers: Papers) -> None:
    """A part of the cases that is quick and has something of everything."""
    import asyncio

    cases = [case_of(name) for name in QUICK]
    outcomes = asyncio.run(run(SUITE, PYTHON, cases, papers))
    assert {name: lines for name, lines in outcomes.items() if lines} == {}
    assert outcomes.keys() == set(QUICK)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import sys; sys.stdin.readline()", "ended without an answer"),
        ("print('hello', flush=True); input()", "is no result"),
        ('input(); print(\'{"name": "other", "calls": [{}]}\', flush=True)', "answered for other"),
        ("import sys; sys.exit(3)", "ended"),
    ],
)
async def test_a_program_that_breaks_the_protocol_fails_its_cases(
    program: str, complaint: str, papers: Papers
) -> None:
    """It is a failure of each case that it was given, and the kit goes on."""
    language = Language(name="broken", run=["{python}", "-c", program])
    outcomes = await run(SUITE, language, [case_of("stream")], papers)
    assert complaint in " ".join(outcomes["stream"])


async def test_a_gateway_that_does_not_start_is_no_fault_of_a_language(papers: Papers) -> None:
    """It ends the run with what the gateway said, and blames nobody else."""
    wrong = {"upstream": {"url": "{upstream}"}, "throttle": {"rate": -1}}
    suite = Suite(gateways={"plain": Gateway(about="wrong", settings=wrong)}, cases=SUITE.cases)
    with pytest.raises(StartError, match=r"throttle\.rate"):
        await run(suite, PYTHON, [case_of("stream"), case_of("chat")], papers)


async def test_a_port_that_somebody_else_got_first_is_left_to_him(
    papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway starts at another one, and no case fails for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr("gateways.free_port", lambda: ports.pop(0))
        assert await run(SUITE, PYTHON, [case_of("stream")], papers) == {"stream": []}
    assert ports == []


async def test_a_case_that_is_not_supported_is_listed_with_its_reason(papers: Papers) -> None:
    """It is neither passed nor skipped in silence."""
    language = Language(name="young", run=["false"], unsupported={"stream": "it cannot stream yet"})
    async with ConformanceUpstream() as upstream:
        runner = Runner(SUITE, upstream, papers, lanes=1, tell=lambda _: None)
        (outcome,) = await runner.run([language], [case_of("stream")])
    assert (outcome.unsupported, outcome.differences) == ("it cannot stream yet", [])
    page = Table([case_of("stream")], [outcome]).markdown()
    assert "| n/a |" in page
    assert "it cannot stream yet" in page


async def test_a_missing_toolchain_is_an_error_that_names_it() -> None:
    """Not a column that is left out."""
    language = Language(name="cobol", run=["cobol"], needs=["python3", "no-such-compiler"])
    with pytest.raises(ProgramError, match="cobol needs no-such-compiler"):
        await language.make()


async def test_a_build_that_fails_says_what_it_said() -> None:
    """The last lines are what a person needs."""
    failing = ["{python}", "-c", "import sys; sys.exit('line 7: no such type')"]
    language = Language(name="broken", run=["true"], build=[failing])
    with pytest.raises(ProgramError, match="line 7: no such type"):
        await language.make()


def test_the_table_tells_what_differed(tmp_path: Path) -> None:
    """In the terminal with the differences, on the page between its markers."""
    outcomes = [
        Outcome("go", "stream", ["code: expected 'OK', saw 'UNKNOWN'"]),
        Outcome("go", "chat"),
    ]
    table = Table([case_of("stream"), case_of("chat")], outcomes)
    assert "FAIL" in table.plain()
    assert "code: expected 'OK', saw 'UNKNOWN'" in table.plain()
    assert table.summary() == "go: 1 of 2 cases as expected"
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_between_markers(page, table.markdown())
    text = page.read_text()
    assert "old" not in text
    assert text.startswith(f"before\n{BEGIN}\n| case | go |")
    assert text.endswith(f"{END}\nafter\n")
