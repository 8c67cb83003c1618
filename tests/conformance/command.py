"""`make conformance`: every client against a real gateway, case by case."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cases import CaseError, load
from gateways import StartError
from papers import Papers, PapersError
from programs import BUILD, ROOT, ProgramError, languages
from report import MOST_LINES, Table, write_between_markers
from run import Outcome, Runner
from upstream import ConformanceUpstream

if TYPE_CHECKING:
    from cases import Case, Suite
    from programs import Language

PAGE = ROOT / "clients" / "README.md"


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit status is 0 when every case was as expected."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write_table and (options.languages or options.cases):
        parser.error(
            "--write-table needs every language and every case, so that nothing is missing"
        )
    try:
        suite = load()
        chosen = _chosen(options.languages, languages())
        cases = _cases(options.cases, suite)
        if options.list:
            sys.stdout.write("".join(f"{case.name}: {case.about}\n" for case in cases))
            return 0
        outcomes = asyncio.run(_run(suite, chosen, cases, options))
    except (CaseError, PapersError, ProgramError, StartError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 2
    return _report(Table(cases, _ordered(outcomes, chosen, cases)), outcomes, options)


async def _run(
    suite: Suite, chosen: list[Language], cases: list[Case], options: argparse.Namespace
) -> list[Outcome]:
    lacking = [f"{one.name} ({', '.join(one.missing())})" for one in chosen if one.missing()]
    if lacking:
        raise ProgramError(f"not on the PATH, but needed: {'; '.join(lacking)}; --language chooses")
    for language in chosen:
        _say(f"building {language.name}")
        await language.make()
    with TemporaryDirectory(prefix="headgate-papers-") as folder:
        papers = Papers(Path(folder))
        async with ConformanceUpstream() as upstream:
            runner = Runner(suite, upstream, papers, lanes=options.lanes, tell=_tell)
            return await runner.run(chosen, cases)


def _report(table: Table, outcomes: list[Outcome], options: argparse.Namespace) -> int:
    sys.stdout.write(f"{table.plain()}\n\n{table.summary()}\n")
    (BUILD.parent / "conformance.json").write_text(table.json(), "utf-8")
    if options.write_table:
        write_between_markers(PAGE, table.markdown())
    return int(any(outcome.differences for outcome in outcomes))


def _ordered(outcomes: list[Outcome], chosen: list[Language], cases: list[Case]) -> list[Outcome]:
    rank = {language.name: i for i, language in enumerate(chosen)}
    row = {case.name: i for i, case in enumerate(cases)}
    return sorted(outcomes, key=lambda o: (rank[o.language], row[o.case]))


def _chosen(names: list[str] | None, known: list[Language]) -> list[Language]:
    if not names:
        return known
    by_name = {language.name: language for language in known}
    if unknown := [name for name in names if name not in by_name]:
        raise ProgramError(f"no language is called {unknown[0]!r}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names]


def _cases(names: list[str] | None, suite: Suite) -> list[Case]:
    if not names:
        return list(suite.cases)
    if unknown := set(names) - {case.name for case in suite.cases}:
        raise CaseError(f"no case is called {min(unknown)!r}; --list names them")
    return [case for case in suite.cases if case.name in names]


def _tell(outcome: Outcome) -> None:
    word = f"n/a: {outcome.unsupported}" if outcome.unsupported else "ok"
    _say(f"{outcome.language} {outcome.case}: {'FAIL' if outcome.differences else word}")
    for line in outcome.differences[:MOST_LINES]:
        _say(f"    {line}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kit.py", description=__doc__)
    for name in ("language", "case"):
        parser.add_argument(
            *(f"--{name}", f"--{name}s"),
            dest=f"{name}s",
            action="extend",
            type=_names,
            metavar="NAME,...",
            help=f"only these {name}s",
        )
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument(
        "--lanes",
        type=int,
        default=2 * (os.cpu_count() or 2),
        help="how many programs run at the same time (%(default)s)",
    )
    parser.add_argument(
        "--write-table", action="store_true", help="put the table into clients/README.md"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
