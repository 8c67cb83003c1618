"""The dashboard and the alert rules ask for nothing that a scrape of real workers does not have."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
import yaml
from grpc import StatusCode

from headgate.errors import Reason
from headgate.telemetry.calls import NONE, OTHER
from headgate.workers.supervisor import show_metrics
from support.alert_cases import CASES
from support.gateway import gateway
from support.raw_upstream import RawUpstream, answers, says
from support.scrape import Scrape, page, scrape
from support.traffic import GAP
from support.workers import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "headgate.json"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
MANUAL = DEPLOY / "docs" / "alerts.md"

# PromQL's own words, as far as they are used; everything else has to be a metric or a label.
WORDS = {
    *("by", "on", "and", "or", "unless", "sum", "min", "max", "rate", "increase", "vector"),
    *("histogram_quantile", "min_over_time", "label_values"),
}
# Labels that Prometheus adds itself.
TARGET = {"job", "instance"}
# The metrics that Prometheus makes itself.
THEIRS = {"up"}
CODES = {code.name for code in StatusCode}
REASONS = {reason.value for reason in Reason} | {NONE}
# What stands on the right of a matcher may be something that no test has brought about.
POSSIBLE = {
    "code": CODES,
    "reason": REASONS,
    "outcome": {"OK", "CANCELLED"} | REASONS,
    "caller": {OTHER},
    "job": {"headgate"},
    "instance": {"a"},
}
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_WORD = re.compile(r"[a-zA-Z_:][\w:]*")


class Asked(NamedTuple):
    """What one expression asks for: metrics, labels, and (metric, label, value) of matchers."""

    metrics: set[str]
    labels: set[str]
    values: set[tuple[str, str, str]]


def read(expression: str) -> Asked:
    """Take an expression apart; Grafana's variables are left out."""
    values = {
        (metric, label, value)
        for metric, matchers in _SELECTOR.findall(expression)
        for label, _, choices in _MATCHER.findall(matchers)
        for value in choices.split("|")
        if "$" not in value
    }
    matched = {
        label
        for _, inner in _SELECTOR.findall(expression)
        for label, _, _ in _MATCHER.findall(inner)
    }
    groups = {
        label.strip() for inner in _GROUPING.findall(expression) for label in inner.split(",")
    }
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", _GROUPING.sub(" ", expression))
    words = set(_WORD.findall(bare)) - WORDS
    return Asked(words, (matched | groups) - {""}, values)


def of_dashboard() -> Iterator[str]:
    """Every expression of every panel, and the queries of the variables."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            # label_values(metric, label): the second is a label that Prometheus adds.
            yield variable["definition"].replace(f", {variable['name']})", ")")


def rules() -> list[dict[str, Any]]:
    text = RULES.read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def said() -> Scrape:
    """A scrape of two workers with a schedule, a cap, calls on both faces and a failure."""
    return asyncio.run(_scrape_of_workers())


async def _scrape_of_workers() -> Scrape:
    sections: dict[str, Any] = {
        "metrics": {"listen": "127.0.0.1:0"},
        "http_listen": "127.0.0.1:0",
        "throttle": {"rate": 20, "min_interval": GAP, "margin": GAP, "max_in_flight": 10},
        "retry": {"max_attempts": 1},
    }
    fails = answers(b"{}", status="503 Service Unavailable")
    async with (
        RawUpstream(fails, says("a", "b")) as upstream,
        workers(upstream.url, **sections) as company,
        AsyncExitStack() as stack,
    ):
        address = await show_metrics(company.supervisor, "127.0.0.1:0", stack)
        await company.caller().refused()
        for caller in (await company.of_each()).values():
            await caller.events()
        http = company.supervisor._settings.http_listen
        async with aiohttp.ClientSession(f"http://{http}") as client:
            messages = [{"role": "user", "content": "Hello"}]
            answer = await client.post("/api", json={"messages": messages})
            assert answer.status == 200
            await answer.read()
        return await scrape(address)


def faults(expression: str, said: Scrape) -> list[str]:
    """What an expression asks for that is not there."""
    asked = read(expression)
    names = {sample.name for sample in said.samples} | THEIRS
    found = [f"no metric {name}" for name in asked.metrics - names]
    labels = TARGET | {label for s in said.samples if s.name in asked.metrics for label in s.labels}
    found += [f"no label {label}" for label in asked.labels - labels]
    for metric, label, value in asked.values:
        real = {s.labels[label] for s in said.find(metric) if label in s.labels}
        if value not in real | POSSIBLE.get(label, set()):
            found.append(f"{metric}: {label} is never {value}")
    return found


@pytest.mark.parametrize("expression", sorted(set(of_dashboard())))
def test_the_dashboard_asks_for_what_there_is(expression: str, said: Scrape) -> None:
    """Every name, every label and every value."""
    assert faults(expression, said) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alerts_ask_for_what_there_is(rule: dict[str, Any], said: Scrape) -> None:
    """Every name, every label and every value, and in the texts too."""
    assert faults(rule["expr"], said) == []
    names = {sample.name for sample in said.samples}
    spoken = re.findall(r"\b(?:headgate|process)_\w+", rule["annotations"]["description"])
    told = {name for name in spoken if not _is_there(name, names)}
    assert told == set()


def _is_there(name: str, names: set[str]) -> bool:
    return name in names or f"{name}_bucket" in names


@pytest.mark.parametrize(
    "expression",
    [
        "rate(headgate_rpc_total[5m])",
        'rate(headgate_rpcs_total{status="OK"}[5m])',
        'rate(headgate_rpcs_total{code="FINE"}[5m])',
        "sum by (model) (headgate_streams_open)",
        "summ(headgate_streams_open)",
        'headgate_slots_total{event="lost"}',
    ],
)
def test_an_expression_that_is_wrong_is_found(expression: str, said: Scrape) -> None:
    """Else the tests above would say nothing."""
    assert faults(expression, said) != []


def test_every_metric_of_ours_is_on_the_dashboard(said: Scrape) -> None:
    """What is not worth a look is not worth counting."""
    shown = {name for expression in of_dashboard() for name in read(expression).metrics}
    families = {
        family.name: {sample.name for sample in family.samples}
        for family in said.families
        if family.name.startswith("headgate_")
    }
    assert [name for name, samples in families.items() if samples and not samples & shown] == []


def test_every_alert_says_what_to_do() -> None:
    """A severity, a time, one line, and a section in the manual, where there is no other."""
    sections = set(
        re.findall(r"^## (Headgate\w+)$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {rule["alert"] for rule in rules()} == sections
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook"}
        assert len(notes["description"].split(". ")) >= 2, rule["alert"]
        assert notes["runbook"] == f"deploy/docs/alerts.md#{rule['alert'].lower()}"


def test_every_section_of_the_manual_is_whole(said: Scrape) -> None:
    """Means, look at, do; and the metrics that it names are real."""
    text = MANUAL.read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if section.startswith("Headgate"):
            assert re.findall(r"^\*\*([\w ]+)\*\*:", section, re.MULTILINE) == [
                "Means",
                "Look at",
                "Do",
            ]
    names = {sample.name for sample in said.samples}
    spoken = set(re.findall(r"\b(?:headgate|process)_\w+", text))
    assert {name for name in spoken if not _is_there(name, names)} == set()


def test_links_within_the_manual_lead_somewhere() -> None:
    """And the files that it names are there."""
    text = MANUAL.read_text(encoding="utf-8")
    titles = {
        title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= titles
    for path in set(re.findall(r"\bdeploy/[\w./-]+\w", text)):
        assert (DEPLOY.parent / path).exists(), path


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    """Grafana would move them, or show one twice."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    squares = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(squares)) == len(squares)
    assert all(x < 24 for x, _ in squares)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Traffic", "Queue", "Schedule and store", "Upstream", "Process"]


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not on the PATH; on Debian: apt-get install prometheus",
)


async def promtool(*arguments: str, text: str = "") -> str:
    """What Prometheus' own tool says, given a text; empty: all is well."""
    process = await asyncio.create_subprocess_exec(
        *("promtool", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(text.encode())
    return said.decode() if process.returncode else ""


@needs_promtool
async def test_prometheus_can_read_the_rules() -> None:
    """By its own tool, where there is one."""
    assert await promtool("check", "rules", str(RULES)) == ""


@needs_promtool
async def test_prometheus_can_read_a_scrape_and_finds_no_fault_in_it() -> None:
    """Names, types and units are what its linter wants."""
    metrics = {"listen": "127.0.0.1:0"}
    async with RawUpstream(says("a")) as up, gateway(up.url, metrics=metrics) as caller:
        await caller.events()
        text = await page(caller.gateway.metrics_address, "/metrics")
    assert await promtool("check", "metrics", text=text) == ""
    assert await promtool("check", "metrics", text=text + "broken{") != ""


@needs_promtool
async def test_prometheus_can_read_what_the_dashboard_asks(tmp_path: Path) -> None:
    """Each expression as a rule, with what Grafana puts in place of its variables.

    `label_values` is Grafana's own and no PromQL.
    """
    asked = [text for text in sorted(set(of_dashboard())) if "label_values" not in text]
    plain = [text.replace("$__rate_interval", "5m").replace("$", "") for text in asked]
    recorded = [{"record": f"asked:{n}", "expr": text} for n, text in enumerate(plain)]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    assert await promtool("check", "rules", str(file)) == ""


def test_every_alert_has_its_cases() -> None:
    """What fires it and what does not, both; and no case is for an alert that has gone."""
    assert {rule["alert"] for rule in rules()} == CASES.keys()
    assert all(case.fires and case.quiet for case in CASES.values())


def test_cases_are_of_series_that_there_are(said: Scrape) -> None:
    """Else an alert could pass its cases and never fire."""
    series = {name for case in CASES.values() for one in (*case.fires, *case.quiet) for name in one}
    assert {name: found for name in series if (found := faults(name, said))} == {}


@needs_promtool
@pytest.mark.parametrize("alert", CASES)
async def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    """After forty minutes of each case, by Prometheus' own evaluation."""
    case = CASES[alert]
    cases = [(series, True) for series in case.fires] + [(series, False) for series in case.quiet]
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    tests = [
        {
            "name": f"case {number}",
            "interval": "1m",
            "input_series": [{"series": name, "values": text} for name, text in series.items()],
            "promql_expr_test": [
                {
                    "expr": firing,
                    "eval_time": "39m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
            ],
        }
        for number, (series, fires) in enumerate(cases)
    ]
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    assert await promtool("test", "rules", str(file)) == ""
