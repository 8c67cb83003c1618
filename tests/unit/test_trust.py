"""Whose certificates are believed, and what is not even loaded without need of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headgate.config import ConfigError
from headgate.trust import authorities
from support.processes import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

# What a gateway without TLS, tokens, Redis and traces has no use for: 9 MiB and more each.
_HEAVY = "cryptography jwt redis opentelemetry"
_LOADED = """
import sys
from headgate.cli import main
import headgate.server
main(["check", "--upstream", "http://127.0.0.1:9/v1/chat/completions"])
print("loaded:", *sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


def test_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    """The setting and the file are named."""
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=f"auth.jwks_ca_file: cannot read {file}: No such file"):
        authorities("auth.jwks_ca_file", str(file))
    file.write_text("nothing")
    with pytest.raises(ConfigError, match=f"auth.jwks_ca_file: {file} holds no PEM certificate"):
        authorities("auth.jwks_ca_file", str(file))


def test_nothing_heavy_is_loaded_without_need() -> None:
    """The command line has looked at every file that the settings name, and there is none."""
    command = [sys.executable, "-c", _LOADED, *_HEAVY.split()]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=clean_environment()
    )
    assert done.stdout.splitlines()[-1] == "loaded:"
