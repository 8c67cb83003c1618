"""An npm registry that has one package, and sends those who want another to the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
from typing import TYPE_CHECKING, Any

from packages.redirecting import serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def registry(package: Path, other: str) -> AbstractContextManager[str]:
    """Serve a package that `npm pack` made; gives the registry's address.

    Args:
        other: the registry for every other package.
    """
    tarball = package.read_bytes()
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/package.json")
        assert file is not None
        manifest = json.load(file)

    def answer(address: str, path: str) -> bytes | str:
        if path == f"/{manifest['name']}":
            return json.dumps(page(manifest, tarball, address)).encode()
        return tarball if path == f"/{package.name}" else f"{other.rstrip('/')}{path}"

    return serving(answer)


def page(manifest: dict[str, Any], tarball: bytes, address: str) -> dict[str, Any]:
    """What a registry says about a package."""
    name, version = manifest["name"], manifest["version"]
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    dist = {"tarball": f"{address}/{name}-{version}.tgz", "integrity": f"sha512-{digest}"}
    return {
        "name": name,
        "dist-tags": {"latest": version},
        "versions": {version: manifest | {"dist": dist}},
    }
