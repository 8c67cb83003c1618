"""What strangers met: other people's servers, taken addresses, impatient signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from headgate.config import ConfigError, Settings, StartError
from headgate.gateway import Gateway
from headgate.sandbox.model import MODEL_NAME
from headgate.server import in_front_of_sandbox
from support.gateway import gateway
from support.processes import clean_environment
from support.raw_upstream import RawUpstream, answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


def headgate(*arguments: str | bytes) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "headgate", *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def taken_port() -> Iterator[int]:
    """A port of this machine's on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def for_nobody(**fields: object) -> Settings:
    """Settings of a gateway that nobody calls."""
    upstream = {"url": "http://127.0.0.1:1/api"}
    return Settings.model_validate({"listen": "127.0.0.1:0", "upstream": upstream} | fields)


async def test_a_plain_text_refusal_is_quoted() -> None:
    """Servers in Go and Rust often refuse in plain text, and it says what to mend."""
    words = b"Failed to deserialize the JSON body: missing field `model`\n"
    script = answers(words, status="422 Whatever", media="Text/Plain; charset=utf-8")
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        error = await caller.refused()

    assert (error.details() or "").endswith(f"(422): {words.decode().strip()}")


async def test_a_web_page_is_not_quoted() -> None:
    """A proxy's error page says nothing that a caller could use."""
    script = answers(b"<html>Bad Request</html>", status="400 Whatever", media="text/html")
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        error = await caller.refused()

    assert error.details() == "the upstream rejected the request (400)"


async def test_a_fault_is_quoted_with_its_place() -> None:
    """FastAPI says `Field required` of a field whose name stands beside it."""
    fault = {"type": "missing", "loc": ["body", "messages", 0, "name"], "msg": "Field required"}
    script = answers(json.dumps({"detail": [fault]}).encode(), status="422 Whatever")
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        error = await caller.refused()

    assert (error.details() or "").endswith("(422): body.messages.0.name: Field required")


@pytest.mark.parametrize(
    ("content", "fault"), [(None, "cannot read .*: No such file"), ("x", "holds no PEM")]
)
def test_a_wrong_ca_file(tmp_path: Path, content: str | None, fault: str) -> None:
    """It is a wrong setting, named as such."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    upstream = {"url": "https://127.0.0.1:1/api", "ca_file": str(path)}
    with pytest.raises(ConfigError, match=rf"^upstream\.ca_file: .*{fault}"):
        Gateway(for_nobody(upstream=upstream))


def test_a_taken_http_port_is_one_line() -> None:
    """Although gRPC listens by then; nothing is left over that would complain at the end."""
    with taken_port() as port:
        address = f"127.0.0.1:{port}"
        process = headgate(
            "serve", "--sandbox", "--listen", "127.0.0.1:0", "--http-listen", address
        )
        _, said = process.communicate(timeout=PATIENCE)

    assert said == f"headgate: cannot listen on {address}: address already in use\n"
    assert process.returncode == 2


async def test_a_file_is_never_taken_for_a_socket(tmp_path: Path) -> None:
    """A path that somebody mistyped keeps what it holds."""
    path = tmp_path / "notes.txt"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(StartError, match=r"exists and is no socket$"):
        await Gateway(for_nobody(listen=f"unix:{path}")).start()
    assert path.read_text(encoding="utf-8") == "precious"


async def test_a_socket_that_nobody_serves_is_taken_over(tmp_path: Path) -> None:
    """A gateway that was killed leaves one behind; the next one starts all the same."""
    path = tmp_path / "gate"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    gateway = Gateway(for_nobody(listen=f"unix:{path}"))
    await gateway.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    await gateway.stop(0)


def test_a_socket_in_no_directory_is_one_line(tmp_path: Path) -> None:
    """The system's reason, and no line of gRPC's own log."""
    address = f"unix:{tmp_path / 'nowhere' / 'gate'}"
    process = headgate("serve", "--sandbox", "--listen", address)
    _, said = process.communicate(timeout=PATIENCE)

    assert said == f"headgate: cannot listen on {address}: no such file or directory\n"
    assert process.returncode == 2


def test_a_second_signal_ends_quietly(tmp_path: Path) -> None:
    """A stream is cut, its connection upstream is closed; one line says so, and its access line."""
    with headgate(
        "serve",
        "--sandbox",
        "--sandbox.token_interval=0.2",
        f"--listen=unix:{tmp_path / 'gate'}",
        "--http-listen=127.0.0.1:0",
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(4)]
        client = HTTPConnection(said[1].split()[-1])
        body = json.dumps({"messages": [{"role": "user", "content": "Hello!"}]})
        client.request("POST", "/api", body, {"content-type": "application/json"})
        assert client.getresponse().readline().startswith(b"data: ")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        client.close()

    first, *calls = rest.splitlines()
    assert first == "headgate: stopped at once by a second signal; running calls were cut"
    assert [(call["event"], call["code"]) for call in map(json.loads, calls)] == [
        ("call", "CANCELLED")
    ]
    # 128 and the signal's number, as a shell says it; the system may deliver either one first.
    assert process.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}


def test_a_prompt_that_is_no_utf8() -> None:
    """A shell passes on any bytes; the demo answers what it can read of them."""
    process = headgate("demo", b"a\xffb")
    answer, faults = process.communicate(timeout=PATIENCE)

    assert (process.returncode, faults) == (0, "")
    assert "caller=" not in answer, "a line of the log"
    assert answer.splitlines()[-1].startswith("finished  stop")
    assert "> a\N{REPLACEMENT CHARACTER}b\n" in answer


async def test_the_embedded_sandbox_has_a_model() -> None:
    """Clients that ask GET /v1/models before anything else find one."""
    async with AsyncExitStack() as stack:
        plain = await in_front_of_sandbox(Settings(), stack)
        named = Settings.model_validate({"upstream": {"model": "mine"}})
        own = await in_front_of_sandbox(named, stack)
    assert (plain.upstream.model, own.upstream.model) == (MODEL_NAME, "mine")
