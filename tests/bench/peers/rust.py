"""CrabLLM and litellm-rs, gateways in Rust: HTTP to HTTP, built by the system's cargo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.peer import TOOLS, Peer, crate

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cost.running import Mock

ONE_THREAD = {"TOKIO_WORKER_THREADS": "1"}


class CrabLLM(Peer):
    """With the features that are its default."""

    name = "CrabLLM gateway"
    version = "0.0.25"
    _folder = TOOLS / f"crabllm-{version}"

    async def install(self) -> None:
        await crate(self._folder, "crabllm", f"crabllm@{self.version}")

    def config(self) -> str:
        return "crabllm.toml"

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        program = str(self._folder / "bin" / "crabllm")
        return [program, "serve", "--config", str(folder / self.config())]

    def environment(self, mock: Mock) -> dict[str, str]:
        del mock
        return ONE_THREAD

    def headers(self, mock: Mock) -> dict[str, str]:
        del mock
        return {"Authorization": "Bearer sk-bench"}


class LiteLLMRs(Peer):
    """Its program does not build without the driver of a database, which is not used."""

    name = "litellm-rs gateway"
    version = "0.9.0"
    _folder = TOOLS / f"litellm-rs-{version}"

    async def install(self) -> None:
        chosen = ("--bin", "gateway", "--features", "sqlite")
        await crate(self._folder, "gateway", f"litellm-rs@{self.version}", *chosen)

    def config(self) -> str:
        return "litellm-rs.yaml"

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        program = str(self._folder / "bin" / "gateway")
        return [program, "--config", str(folder / self.config())]

    def environment(self, mock: Mock) -> dict[str, str]:
        del mock
        return ONE_THREAD
