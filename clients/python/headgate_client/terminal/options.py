"""The command line of headgate-chat."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headgate_client.channel import DEFAULT_TARGET
from headgate_client.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """
Chat with a model behind a headgate, in the terminal.
Lines from a pipe are asked one by one, and only the answers are printed.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for; None is the server's default."""

    target: str = DEFAULT_TARGET
    system: str | None = None
    model: str | None = None
    temperature: float | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None


def parse_options(arguments: Sequence[str] | None) -> Options:
    """Read the command line; leaves the program on --help, --version and on a mistake."""
    return Options(**vars(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headgate-chat", description=_DESCRIPTION)
    add = parser.add_argument
    add("--target", default=DEFAULT_TARGET, metavar="ADDR", help="default: %(default)s")
    add("--system", metavar="TEXT", help="the conversation's system prompt")
    add("--model", metavar="NAME", help="default: what the server chooses")
    add("--temperature", type=float, metavar="T", help="0.0 to 2.0; default: the upstream's")
    add("--tls", action="store_true", help="use TLS with the system's root certificates")
    add("--ca-file", type=Path, metavar="PEM", help="use TLS with these root certificates")
    add("--cert-file", type=Path, metavar="PEM", help="this client's own certificate")
    add("--key-file", type=Path, metavar="PEM", help="the key of that certificate")
    add("--token-file", type=Path, metavar="FILE", help="send the token in this file")
    add("--version", action="version", version=f"headgate-chat {__version__}")
    return parser
