"""Prove the floors of grpcio and protobuf that both pyproject.toml declare.

    python protos/check_floors.py

Both projects are installed twice, with the oldest and with the newest versions that they allow.
Each time both copies of the stubs are imported into one process, a message goes there and back,
and the server and the client are imported.
Exit status 1 says in one line what does not hold.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from environments import ROOT, ToolError, environment

PROJECTS = (".", "clients/python")
FLOOR = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")
# What generated code itself demands of its runtime.
DEMANDS = {
    "grpcio": ("chat_pb2_grpc.py", re.compile(r"GRPC_GENERATED_VERSION = '([0-9.]+)'")),
    "protobuf": ("chat_pb2.py", re.compile(r"# Protobuf Python Version: ([0-9.]+)")),
}
PROBE = """
from headgate.v1 import chat_pb2 as server, chat_pb2_grpc
from headgate_client.v1 import chat_pb2 as client, chat_pb2_grpc as client_grpc

assert server.ChatRequest is client.ChatRequest, "two classes for one message"
assert server.ErrorReason is not None and server.DESCRIPTOR is client.DESCRIPTOR
request = server.ChatRequest(model="m", messages=[{"role": "ROLE_USER", "content": "\\u00e4"}])
request.extra["top_k"] = 40
request.stream_options.heartbeat_interval.FromMilliseconds(100)
assert client.ChatRequest.FromString(request.SerializeToString()) == request
assert chat_pb2_grpc.ChatServiceStub and client_grpc.ChatServiceStub

import headgate.gateway, headgate_client.terminal

from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("grpcio", "protobuf")), sep=", ")
"""


def main() -> int:
    try:
        floors = declared()
        check_demands(floors)
        projects = ["-e", ".", "-e", "clients/python[terminal]"]
        oldest = environment("oldest", [*projects, *(f"{n}=={v}" for n, v in floors.items())])
        newest = environment("latest", projects, upgrade=True)
        for python in (oldest, newest):
            probe = subprocess.run([python, "-c", PROBE], cwd=ROOT, check=False)  # noqa: S603
            if probe.returncode != 0:
                raise ToolError(f"the stubs do not work in .tools/{python.parent.parent.name}")
    except ToolError as error:
        sys.stderr.write(f"protos/check_floors.py: {error}\n")
        return 1
    return 0


def declared() -> dict[str, str]:
    """The floor of each dependency that has one; both projects must agree."""
    floors: dict[str, str] = {}
    for project in PROJECTS:
        table = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
        for requirement in table["dependencies"]:
            if match := FLOOR.match(requirement):
                name, version = match.groups()
                if floors.setdefault(name, version) != version:
                    raise ToolError(f"{name} has two floors: {floors[name]} and {version}")
    return floors


def check_demands(floors: dict[str, str]) -> None:
    """No floor may be lower than what the generated code refuses to run without."""
    for name, (file, pattern) in DEMANDS.items():
        match = pattern.search((ROOT / "server" / "headgate" / "v1" / file).read_text())
        if match is None:
            raise ToolError(f"{file} no longer says which {name} it needs")
        if _numbers(floors[name]) < _numbers(match[1]):
            raise ToolError(f"the floor of {name} is {floors[name]}; the stubs need {match[1]}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
