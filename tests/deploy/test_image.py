"""The image is small, and runs as nobody with nothing to write."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from deploy import image as images
from deploy.tools import HADOLINT
from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from support.gateway import ask, text
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.chart import Rendered

MEGABYTE = 1_000_000


def test_the_dockerfile_is_linted(tools: None) -> None:
    """By hadolint, without a word."""
    del tools
    done = subprocess.run(
        [HADOLINT, images.DOCKERFILE], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_image_is_what_the_chart_starts(renderings: Callable[[str], Rendered]) -> None:
    """User, command and ports are the same in both."""
    rendered = renderings("minimal-http")
    steps = dict(images.instructions(images.DOCKERFILE.read_text(encoding="utf-8")))
    security = rendered.pod["spec"]["securityContext"]
    assert steps["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert steps["CMD"].replace('"', "") == f"[{', '.join(rendered.container['args'])}]"
    assert {int(port) for port in steps["EXPOSE"].split()} == set(rendered.ports.values())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> images.Image:
    if reason := images.missing():
        pytest.skip(reason)
    return images.build(tmp_path_factory.mktemp("image"))


def test_the_image_is_small(image: images.Image) -> None:
    """Debian, Python and everything headgate needs in under 200 MB."""
    assert image.size() < 200 * MEGABYTE


def test_the_image_has_nothing_to_install_with(image: images.Image) -> None:
    """No pip, no compiler, no shell scripts of the build's."""
    for path in ("usr/bin/pip3", "usr/bin/strip", "usr/bin/gcc", "opt/headgate/bin/pip", "src"):
        assert not (image.root / path).exists()


def test_the_image_serves_as_nobody(image: images.Image) -> None:
    """A stream through it is whole, and SIGTERM ends it with 0."""
    port = free_port()
    process = image.start("serve", "--sandbox", "--listen", f"127.0.0.1:{port}")
    with process:
        assert process.stderr is not None
        said = ""
        while "limits (" not in said and process.poll() is None:
            said += process.stderr.readline()
        assert process.poll() is None, said
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
            events: list[pb.StreamChatResponse] = list(stub.StreamChat(ask(), timeout=30))
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert text(events)
    assert events[-1].WhichOneof("event") == "finished"
    assert process.returncode == 0
