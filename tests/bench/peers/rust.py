"""CrabLLM and litellm-rs, gateways in Rust: HTTP to HTTP, built by the system's cargo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.peer import TOOLS, Peer, crate

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cost.running import Mock


class _Rust(Peer):
    """Each has one thread for the work of its calls.

    Attributes:
        crate: on crates.io.
        program: that it builds.
        chosen: flags to build it with.
        flags: to start it with, before its configuration.
    """

    crate: str
    program: str
    chosen: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def _folder(self) -> Path:
        return TOOLS / f"{self.crate}-{self.version}"

    async def install(self) -> None:
        await crate(self._folder, self.program, f"{self.crate}@{self.version}", *self.chosen)

    def command(self, port: int, folder: Path) -> list[str]:
        del port
        program = str(self._folder / "bin" / self.program)
        return [program, *self.flags, "--config", str(folder / self.config())]

    def environment(self, mock: Mock) -> dict[str, str]:
        del mock
        return {"TOKIO_WORKER_THREADS": "1"}


class CrabLLM(_Rust):
    """With the features that are its default."""

    name = "CrabLLM gateway"
    version = "0.0.25"
    crate = program = "crabllm"
    flags = ("serve",)

    def config(self) -> str:
        return "crabllm.toml"

    def headers(self, mock: Mock) -> dict[str, str]:
        del mock
        return {"Authorization": "Bearer sk-bench"}


class LiteLLMRs(_Rust):
    """Its program does not build without the driver of a database, which is not used."""

    name = "litellm-rs gateway"
    version = "0.9.0"
    crate = "litellm-rs"
    program = "gateway"
    chosen = ("--bin", "gateway", "--features", "sqlite")

    def config(self) -> str:
        return "litellm-rs.yaml"
