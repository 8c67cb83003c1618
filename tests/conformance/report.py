"""What came out: the table language by case, the JSON, and the table in clients/README.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cases import Case
    from run import Outcome

MOST_LINES = 10  # of one cell; a hundred streams can differ in a hundred ways
BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"


class Table:
    """Language by case."""

    def __init__(self, cases: Iterable[Case], outcomes: Iterable[Outcome]) -> None:
        self._cases = list(cases)
        self._cells = {(o.case, o.language): o for o in outcomes}
        self._languages = list(dict.fromkeys(o.language for o in outcomes))

    def plain(self) -> str:
        """For a terminal: what differed stands below the table."""
        width = max((len(case.name) for case in self._cases), default=0)
        head = " ".join([" " * width, *self._languages])
        rows = [
            " ".join(
                [
                    case.name.ljust(width),
                    *(self._word(case, x).ljust(len(x)) for x in self._languages),
                ]
            )
            for case in self._cases
        ]
        return "\n".join([head, *rows, *self._notes()])

    def markdown(self) -> str:
        """For a page: each case in a row with its sentence."""
        lines = [
            f"| case | {' | '.join(self._languages)} | what it shows |",
            f"|---|{'---|' * len(self._languages)}---|",
        ]
        for case in self._cases:
            words = " | ".join(self._word(case, name) for name in self._languages)
            lines.append(f"| `{case.name}` | {words} | {case.about} |")
        notes = [f"- {note}" for note in self._reasons()]
        return "\n".join([*lines, "", *notes]).rstrip()

    def json(self) -> str:
        """Every outcome, for whoever wants to work with them."""
        cells: list[dict[str, Any]] = [vars(outcome) for outcome in self._cells.values()]
        return json.dumps({"outcomes": cells}, indent=1) + "\n"

    def summary(self) -> str:
        """One line for each language."""
        return "\n".join(self._count(language) for language in self._languages)

    def _count(self, language: str) -> str:
        mine = [o for (_, name), o in self._cells.items() if name == language]
        ok = sum(not o.differences and not o.unsupported for o in mine)
        unsupported = sum(bool(o.unsupported) for o in mine)
        left_out = f", {unsupported} not supported" if unsupported else ""
        return f"{language}: {ok} of {len(mine)} cases as expected{left_out}"

    def _word(self, case: Case, language: str) -> str:
        outcome = self._cells.get((case.name, language))
        if outcome is None:
            return "-"
        if outcome.unsupported:
            return "n/a"
        return "FAIL" if outcome.differences else "ok"

    def _reasons(self) -> list[str]:
        return [
            f"{o.language}, `{o.case}`: {o.unsupported}"
            for o in self._cells.values()
            if o.unsupported
        ]

    def _notes(self) -> list[str]:
        lines = [f"n/a: {reason}" for reason in self._reasons()]
        for outcome in self._cells.values():
            if outcome.differences:
                lines.append(f"{outcome.language}, {outcome.case}:")
                lines += [f"    {line}" for line in outcome.differences[:MOST_LINES]]
                left = len(outcome.differences) - MOST_LINES
                lines += [f"    and {left} more, see build/conformance.json"] if left > 0 else []
        return ["", *lines] if lines else []


def write_between_markers(page: Path, table: str) -> None:
    """Put the table into a page, between the two markers.

    Raises:
        ValueError: the page does not have them.
    """
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")
