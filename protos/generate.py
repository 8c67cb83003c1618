"""Make every file that follows from the contract, or check that those in the tree still do.

    python protos/generate.py                 write them into the project
    python protos/generate.py --output DIR    write them into another directory
    python protos/generate.py --check         compare; exit status 1 names what differs

What is made, from `protos`:
- the server's stubs, typed, with `chat.proto` and its descriptor set for `headgate proto`,
- the Python client's own copy of the stubs, so that neither distribution needs the other,
- the Python client's copies of the service config and of the channel's defaults,
- what the generate.py of each client in SCRIPTS makes, with that language's own tools.
"""  # noqa: INP001 - a folder of scripts is no package

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ROOT, ToolError
from stubs import CONTRACT, PROTOS, compiler, run

SERVER = "server/headgate/v1"
CLIENT = "clients/python/headgate_client"
SCRIPTS = tuple(f"clients/{name}/generate.py" for name in ("go", "typescript", "web"))
# Folders in which everything is generated.
FOLDERS = (
    *(SERVER, f"{CLIENT}/v1"),
    *("clients/go/headgatev1", "clients/typescript/src/generated", "clients/web/src/generated"),
)
STUBS = ("chat_pb2.py", "chat_pb2.pyi", "chat_pb2_grpc.py", "chat_pb2_grpc.pyi")
INIT = b'"""Generated from headgate/v1/chat.proto by `make proto`; never edited."""\n'
# The one place in each file where the copy has to name its own package.
OWN_NAME = {
    # The messages' `__module__`, by which pickle finds them.
    "chat_pb2.py": re.compile(rb"(?<=\(DESCRIPTOR, ')headgate(?=\.v1\.chat_pb2', _globals\))"),
    "chat_pb2_grpc.py": re.compile(rb"(?<=^from )headgate(?=\.v1 import chat_pb2 )", re.MULTILINE),
    "chat_pb2_grpc.pyi": re.compile(rb"\bheadgate(?=\.v1\.chat_pb2\b)"),
}

Files = dict[str, bytes]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the files that follow from the contract.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="compare instead of writing")
    group.add_argument("--output", type=Path, default=ROOT, help="the directory to write into")
    options = parser.parse_args()
    try:
        files = generate()
    except ToolError as error:
        return _fail(str(error))
    if not options.check:
        write(files, options.output)
        return 0
    names = differing(files, ROOT)
    if names:
        return _fail(f"not what the contract makes: {', '.join(names)}; run `make proto`")
    return 0


def generate() -> Files:
    """Every generated file: its path within the project, and its bytes."""
    files = _python()
    for script in SCRIPTS:
        files |= _by_script(script)
    return files


def _python() -> Files:
    made = _protoc()
    stubs = {"__init__.py": INIT} | {name: made[name] for name in STUBS}
    server = stubs | {
        "chat.proto": (PROTOS / CONTRACT).read_bytes(),
        "chat.binpb": made["chat.binpb"],
    }
    settings = ("service_config.json", "channel_defaults.json")
    return (
        {f"{SERVER}/{name}": data for name, data in server.items()}
        | {f"{CLIENT}/v1/{name}": _renamed(name, data) for name, data in stubs.items()}
        | {f"{CLIENT}/{name}": (PROTOS / name).read_bytes() for name in settings}
    )


def _protoc() -> Files:
    """Run the pinned compiler; the names are without their directory."""
    python = compiler()
    with tempfile.TemporaryDirectory() as directory:
        outputs = ("--python_out=", "--grpc_python_out=", "--mypy_out=quiet:")
        made = Path(directory) / Path(CONTRACT).parent
        command = [
            *(str(python), "-m", "grpc_tools.protoc", f"-I{PROTOS}"),
            *(f"{output}{directory}" for output in (*outputs, "--mypy_grpc_out=quiet:")),
            *("--include_imports", "--include_source_info"),
            f"--descriptor_set_out={directory}/chat.binpb",
            CONTRACT,
        ]
        # protoc looks for its plugins, which stand beside that Python, on the path.
        path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
        run(command, "protoc refuses the contract", os.environ | {"PATH": path})
        paths = [*made.iterdir(), Path(directory) / "chat.binpb"]
        return {path.name: path.read_bytes() for path in paths}


def _by_script(script: str) -> Files:
    """What a client's own script writes."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, ROOT / script, "--output", directory]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise ToolError(done.stderr.strip() or f"{script} failed")
        paths = [path for path in Path(directory).rglob("*") if path.is_file()]
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def _renamed(name: str, data: bytes) -> bytes:
    """The client's copy of a stub, in which it names itself and not the server."""
    if name not in OWN_NAME:
        return data
    renamed, count = OWN_NAME[name].subn(b"headgate_client", data)
    if not count:
        raise ToolError(f"{name} no longer names its package in the way that is known here")
    return renamed


def write(files: Files, root: Path) -> None:
    for name in _strays(files, root):
        (root / name).unlink()
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)


def differing(files: Files, root: Path) -> list[str]:
    """The names of files that are missing, other than they should be, or too many."""
    paths = {name: root / name for name in files}
    wrong = [n for n, path in paths.items() if not path.is_file() or path.read_bytes() != files[n]]
    return sorted([*wrong, *_strays(files, root)])


def _strays(files: Files, root: Path) -> list[str]:
    """Files beside the generated ones that nothing makes any more."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    names = {p.relative_to(root).as_posix() for p in found if p.parent.name != "__pycache__"}
    return sorted(names - files.keys())


def _fail(message: str) -> int:
    sys.stderr.write(f"protos/generate.py: {message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
