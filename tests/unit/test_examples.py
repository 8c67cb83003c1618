"""Each client's example is short: what takes more belongs into the client."""

from __future__ import annotations

from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "clients"
EXAMPLES = (
    "python/example.py",
    "go/example/main.go",
    "typescript/example.ts",
    "java/Example.java",
    "rust/examples/stream.rs",
    "cpp/example/example.cc",
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_forty_lines_at_most(example: str) -> None:
    """A whole program: it connects, streams, and tells a failure."""
    assert len((CLIENTS / example).read_text("utf-8").splitlines()) <= 40
