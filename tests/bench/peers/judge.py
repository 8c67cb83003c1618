"""headgate and its peers side by side, and what the comparison should show."""

from __future__ import annotations

import math
from typing import Any

from bench.cost.table import Row

Figures = dict[str, float]
Found = dict[str, Any]

OURS = "headgate"
TOKEN = "300 streams: CPU of a token, µs"
FEWER = "30 streams: CPU of a token, µs"
MESSAGES = "300 streams: messages of the tokens"
UNMERGED = 0.95
CALL = "{} unary calls/s: CPU of a call, µs"
UNARY = "{} unary calls/s: latency {} +ms"
FIRST = "{} streams/s: first delta {} +ms"


def beside(found: Found) -> str:
    """A row for each figure and a column for each peer, with its ratio to headgate's."""
    names = [f"{each['name']} {each['version']}" for each in found.values()]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    ours = found.get(OURS, {}).get("figures", {})
    figures = {figure: None for each in found.values() for figure in each.get("figures", {})}
    for figure in figures:
        cells = [
            _cell(each.get("figures", {}).get(figure), ours.get(figure)) for each in found.values()
        ]
        lines.append(f"| {figure} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    for each in found.values():
        if "error" in each:
            text += f"\n{each['name']} {each['version']} could not be run: {each['error']}\n"
    return text


def _cell(value: float | None, ours: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    if ours and value > 0 and ours > 0 and value != ours:
        text += f" ({value / ours:.2g} times)"
    return text


def judged(found: Found) -> list[Row]:
    """What was to be reached beside the peers that could be run."""
    ours = found.get(OURS, {}).get("figures")
    if ours is None:
        return []
    rows = []
    if (litellm := found.get("litellm", {}).get("figures")) is not None:
        # Its better figure: 300 streams are more than it can do on a core.
        cheapest = min(litellm[TOKEN], litellm[FEWER])
        row = _at_most("CPU of a token against LiteLLM", ours[TOKEN], cheapest, 1 / 15)
        rows.append(_unmerged(row, ours))
        for what in (UNARY, FIRST):
            for percentile in ("p50", "p99"):
                name = what.format(20, percentile)
                rows.append(_at_most(f"{name} against LiteLLM", ours[name], litellm[name], 1 / 10))
    if (envoy := found.get("envoy", {}).get("figures")) is not None:
        row = _at_most("CPU of a token against Envoy", ours[TOKEN], envoy[TOKEN], 2.5)
        rows.append(_unmerged(row, ours))
    for name, peer in found.items():
        figures, call = peer.get("figures", {}), CALL.format(20)
        if name != OURS and call in figures:
            rows.append(
                _told(f"CPU of a call against {peer['name']}, 20/s", ours[call], figures[call])
            )
    return rows


def _at_most(what: str, ours: float, theirs: float, most: float) -> Row:
    ratio = ours / theirs if theirs > 0 else math.inf
    reach = f"at most {most:g} times" if most >= 1 else f"at most 1/{1 / most:.0f}"
    return _told(what, ours, theirs)._replace(reach=reach, ok=ratio <= most)


def _unmerged(row: Row, ours: Figures) -> Row:
    """Merging makes tokens cheap; a gateway that was starved merges, and is no measure."""
    share = ours[MESSAGES]
    return row._replace(
        reach=f"{row.reach}, with messages at least {UNMERGED} of the tokens",
        reached=f"{row.reached}; messages {share:.2f} of the tokens",
        ok=bool(row.ok) and share >= UNMERGED,
    )


def _told(what: str, ours: float, theirs: float) -> Row:
    ratio = ours / theirs if theirs > 0 else math.inf
    inverse = f" (1/{1 / ratio:.1f})" if 0 < ratio < 1 else ""
    text = f"{ratio:.2f} times{inverse}: {ours:,.2f} against {theirs:,.2f}"
    return Row(what, "", text, None, {"times": ratio})
