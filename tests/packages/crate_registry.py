"""A Cargo index that has one crate, and sends those who want another to crates.io's."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packages.redirecting import serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def registry(crate: Path, package: dict[str, Any]) -> AbstractContextManager[str]:
    """Serve the line of a crate that `cargo package` made; gives the sparse index's address.

    Args:
        package: what `cargo metadata` says about it.
    """
    name = package["name"]
    index, downloads = origin()
    line = json.dumps(entry(package, crate.read_bytes())).encode()

    def answer(_: str, path: str) -> bytes | str:
        if path == "/config.json":
            return json.dumps({"dl": downloads}).encode()
        return line if path == f"/{name[:2]}/{name[2:4]}/{name}" else f"{index}{path}"

    return serving(answer)


def origin() -> tuple[str, str]:
    """Where this machine's Cargo has its index from, and the crates; it has fetched some by now."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    config = next(home.glob("registry/index/*/config.json"))
    host, _, _ = config.parent.name.rpartition("-")
    return f"https://{host}", json.loads(config.read_text())["dl"]


def entry(package: dict[str, Any], data: bytes) -> dict[str, Any]:
    """A crate's line in an index."""
    return {
        "name": package["name"],
        "vers": package["version"],
        "deps": [dependency(one) for one in package["dependencies"]],
        "cksum": hashlib.sha256(data).hexdigest(),
        "features": package["features"],
        "yanked": False,
        "rust_version": package["rust_version"],
    }


def dependency(one: dict[str, Any]) -> dict[str, Any]:
    same = ("name", "req", "features", "optional", "target")
    return {
        **{key: one[key] for key in same},
        "default_features": one["uses_default_features"],
        "kind": one["kind"] or "normal",
    }
