"""The page on sharing a limit is run: its store, and a gateway that keeps its schedule there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import redis

from headgate.config import load
from support.operator_page import Page, free_ports
from support.redis_server import needs_redis

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_redis


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    """The gateway starts, so it has reached the store, and stands in its schedule."""
    page = Page("share.md", tmp_path, free_ports("6379"))
    store, serve = page.blocks
    port = int(page.ports["6379"])
    with subprocess.Popen(["bash", "-c", f"exec {store}"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert any(b"eady to accept connections" in line for line in server.stdout)
            with page.served(f"{serve.strip()} --listen 127.0.0.1:0"):
                client = redis.Redis(port=port)
                assert client.keys("headgate:*")
                client.close()
        finally:
            server.terminate()
            server.communicate()


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    """With files of this directory in place of the ones that the page names."""
    page = Page("share.md", tmp_path, {"6379": "6379"})
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page.text, re.MULTILINE | re.DOTALL)
    password = tmp_path / "redis-password"
    password.write_text("secret\n", encoding="utf-8")
    file = tmp_path / "headgate.toml"
    file.write_text(block.replace("/run/secrets/redis-password", str(password)), encoding="utf-8")
    throttle = load({}, {}, file).throttle
    assert throttle.store == "rediss://headgate@redis.internal:6380/0"
    assert throttle.read_store_password() == "secret"
