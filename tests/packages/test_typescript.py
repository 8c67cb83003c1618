"""The npm package, installed from a registry, and the lines of its README."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from packages.npm_registry import registry
from packages.pages import ROOT, STORY, Page, clean_copy, merged, packed, shell

if TYPE_CHECKING:
    from pathlib import Path

PIECE = """
import { HeadgateClient, HeadgateError, Role, text } from "headgate-client";

const client = new HeadgateClient("127.0.0.1:50051");
%s
client.close();
export { HeadgateError, Role, text };
"""
TSC = "node_modules/.bin/tsc --strict --target es2022 --module nodenext --types node"


@pytest.mark.usefixtures("sandbox")
def test_the_readme(environment: dict[str, str], tmp_path: Path) -> None:
    """Every line and every program of it: outside of the checkout, then in a clean copy of it."""
    page = Page("clients/typescript")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "package.json").write_text('{"private": true, "type": "module"}')
    shell(f"npm install --silent {' '.join(typing_tools())}", outside, environment)
    other = shell("npm config get registry", outside, environment).strip()
    with registry(packed("typescript", "*.tgz"), other) as address:
        shell(page.lines(), outside, merged(environment, npm_config_registry=address))

    assert STORY.fullmatch(run(page.program("ts"), outside, environment))
    assert STORY.search(run(PIECE % page.program("ts"), outside, environment))
    assert "sandbox" in run(PIECE % page.program("ts"), outside, environment)

    inside = clean_copy("typescript", tmp_path / "inside")
    assert STORY.search(shell(page.lines(), inside, environment))
    assert page.left() == []


def typing_tools() -> list[str]:
    """What the README says that the package's types need, as the client itself pins it."""
    manifest = json.loads((ROOT / "clients" / "typescript" / "package.json").read_text())
    pins = manifest["devDependencies"]
    return [f"{name}@{pins[name]}" for name in ("typescript", "@types/node")]


def run(program: str, folder: Path, environment: dict[str, str]) -> str:
    (folder / "program.ts").write_text(program)
    return shell(f"{TSC} program.ts\nnode program.js", folder, environment)
