"""OpenAI's JavaScript SDK, installed into `.tools/`, and node to run it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.processes import clean_environment

VERSION = "6.49.0"
_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / ".tools" / "openai-js"
_PROGRAM = _ROOT / "tests" / "integration" / "openai_sdk.mjs"


def install() -> None:
    """Have the SDK in its place; skips the test where there is no node, npm or registry."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here; where it is, this runs")
    manifest = _FOLDER / "node_modules" / "openai" / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == VERSION:
        return
    _FOLDER.mkdir(parents=True, exist_ok=True)
    options = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    npm = ["npm", "install", *options, "--prefix", str(_FOLDER), f"openai@{VERSION}"]
    done = subprocess.run(npm, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install openai@{VERSION}: {done.stderr.strip()[-300:]}")


async def call(base_url: str, *, stream: bool, **request: Any) -> dict[str, Any]:
    """One call with the SDK: `answer`, or `chunks`, or `error` with status, code and message."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(_PROGRAM),
        str(_FOLDER),
        base_url,
        json.dumps(stream),
        json.dumps(request),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    told: dict[str, Any] = json.loads(printed)
    return told


async def answer(base_url: str, **request: Any) -> dict[str, Any]:
    """The whole answer of a call that goes well."""
    told = await call(base_url, stream=False, **request)
    assert "error" not in told, told
    whole: dict[str, Any] = told["answer"]
    return whole


async def chunks(base_url: str, **request: Any) -> list[dict[str, Any]]:
    """The chunks of a stream that ends well."""
    told = await call(base_url, stream=True, **request)
    assert "error" not in told, told
    read: list[dict[str, Any]] = told["chunks"]
    return read
