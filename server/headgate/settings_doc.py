"""Prints the README's table of settings: `python -m headgate.settings_doc [README.md]`."""

from __future__ import annotations

import sys
from pathlib import Path

from headgate.config.defaults import default_text
from headgate.config.names import SETTINGS

START = "<!-- settings -->"
END = "<!-- /settings -->"


def table() -> str:
    """Every setting with its default and its line of help, as a Markdown table."""
    rows = [
        f"| `{setting.name}` | {default_text(setting)} | {setting.field.description} |"
        for setting in SETTINGS
    ]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def put_into(text: str) -> str:
    """The text with the table between its two markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the markers {START} and {END} are missing")
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


def main(arguments: list[str]) -> None:
    """Write the table into each file that is named, or print it."""
    for argument in arguments:
        file = Path(argument)
        file.write_text(put_into(file.read_text(encoding="utf-8")), encoding="utf-8")
    if not arguments:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
