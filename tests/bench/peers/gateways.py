"""LiteLLM's proxy and Portkey's gateway, which translate nothing here either: HTTP to HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.peer import CONFIG, TOOLS, Peer, environment, needed, run

if TYPE_CHECKING:
    from bench.cost.running import Mock

CONSTRAINTS = Path(__file__).parent / "litellm.txt"


class LiteLLM(Peer):
    """Its proxy, one worker."""

    name = "LiteLLM proxy"
    version = "1.108.7"
    _folder = TOOLS / f"litellm-{version}"

    async def install(self) -> None:
        package = f"litellm[proxy]=={self.version}"
        await environment(self._folder, "-c", str(CONSTRAINTS), package)

    def config(self) -> str:
        return "litellm.yaml"

    def command(self, port: int, folder: Path) -> list[str]:
        program = [str(self._folder / "bin" / "litellm"), "--config", str(folder / self.config())]
        return [*program, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]

    def environment(self, mock: Mock) -> dict[str, str]:
        """As its page on production asks for; the map of prices would come from the network."""
        del mock
        named = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
        return named | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

    def headers(self, mock: Mock) -> dict[str, str]:
        del mock
        return {"Authorization": "Bearer sk-bench"}


class Portkey(Peer):
    """Its open gateway, on Node."""

    name = "Portkey gateway"
    version = "1.15.2"
    _folder = TOOLS / f"portkey-{version}"

    async def install(self) -> None:
        npm, module = needed("npm"), f"@portkey-ai/gateway@{self.version}"
        if not (self._folder / "node_modules").exists():
            flags = ("--silent", "--no-fund", "--no-audit", "--no-save")
            await run(npm, "install", *flags, "--prefix", self._folder, module)

    def command(self, port: int, folder: Path) -> list[str]:
        del folder
        program = self._folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
        preload = ["--import", str(CONFIG / "portkey.mjs")]
        return [needed("node"), *preload, str(program), f"--port={port}", "--headless"]

    def environment(self, mock: Mock) -> dict[str, str]:
        """It calls no host of its own network that it was not told of."""
        host = mock.address.rpartition(":")[0]
        return {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": host}

    def headers(self, mock: Mock) -> dict[str, str]:
        return {
            "Authorization": "Bearer mock",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://{mock.address}/v1",
        }
