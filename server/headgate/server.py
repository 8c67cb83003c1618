"""Runs a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import uvloop

from headgate.config import CallersSettings, SystemPromptSettings, limits_line
from headgate.gateway import Gateway
from headgate.logs import configure_logs
from headgate.sandbox import start_sandbox
from headgate.signals import Signals, tell

if TYPE_CHECKING:
    from headgate.config import Settings

# What the published API allows one address; other profiles are for upstreams without a pace.
PUBLISHED_LIMIT = CallersSettings(rate=2.0, min_interval=0.5)


def serve(settings: Settings, *, sandbox: bool) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends at once.

    Args:
        settings: with `upstream.url` set, unless `sandbox`.
        sandbox: start the embedded sandbox and serve in front of it.

    Returns:
        The exit status.

    Raises:
        StartError: an address cannot be had.
    """
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, sandbox=sandbox))


async def _serve(settings: Settings, *, sandbox: bool) -> int:
    signals = Signals()
    async with AsyncExitStack() as stack:
        if sandbox:
            settings = await in_front_of_sandbox(settings, stack)
        gateway = Gateway(settings)
        await gateway.start()
        calm_collector()
        _say(gateway, settings)
        await signals.first.wait()
        return await signals.unless_again(gateway.stop(settings.server.grace))


async def in_front_of_sandbox(settings: Settings, stack: AsyncExitStack) -> Settings:
    """Start an embedded sandbox, which the stack closes, and point the settings at it.

    Raises:
        StartError: no port can be had.
    """
    limit = PUBLISHED_LIMIT if settings.profile == "published" else CallersSettings()
    own = {"callers": limit, "system_prompt": SystemPromptSettings()}
    sandbox = await start_sandbox(settings.model_copy(update=own), "127.0.0.1:0")
    stack.push_async_callback(sandbox.aclose)
    return settings.model_copy(update={"upstream": sandbox.upstream(settings)})


def calm_collector() -> None:
    """Look for cycles less often, and never again among what the start has made.

    Every stream keeps many small objects alive, which the collector would walk again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _say(gateway: Gateway, settings: Settings) -> None:
    tell(f"grpc listening on {gateway.grpc_address}")
    if gateway.http_address is not None:
        tell(f"http listening on {gateway.http_address}")
    if gateway.metrics_address is not None:
        tell(f"metrics on {gateway.metrics_address}")
    tell(f"upstream {settings.upstream.url}")
    tell(limits_line(settings))
