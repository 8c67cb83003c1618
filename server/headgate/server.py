"""Runs a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import uvloop

from headgate.collector import calm_collector, tidy
from headgate.config import CallersSettings, SystemPromptSettings, limits_line, without_files
from headgate.gateway import Gateway
from headgate.logs import configure_logs
from headgate.reload import Reload
from headgate.service_manager import ServiceManager
from headgate.signals import Signals, meanwhile, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings

# What the published API allows one address; other profiles are for upstreams without a pace.
PUBLISHED_LIMIT = CallersSettings(rate=2.0, min_interval=0.5)


def serve(settings: Settings, *, sandbox: bool, load: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends at once, SIGHUP reloads.

    Args:
        settings: with `upstream.url` set, unless `sandbox`.
        sandbox: start the embedded sandbox and serve in front of it.
        load: reads the settings anew from where they came from.

    Returns:
        The exit status.

    Raises:
        StartError: an address cannot be had.
    """
    configure_logs(settings.log, secrets=settings.secrets())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, sandbox=sandbox, load=load))


async def _serve(settings: Settings, *, sandbox: bool, load: Callable[[], Settings]) -> int:
    signals, manager = Signals(reloads=True), ServiceManager()
    loaded = settings
    async with AsyncExitStack() as stack:
        if sandbox:
            settings = await in_front_of_sandbox(settings, stack)
        gateway = Gateway(without_files(settings))
        if not await _starts(gateway, signals):
            return 0
        calm_collector()
        _say(gateway)
        manager.ready(limits_line(gateway.settings))
        reload = Reload(gateway, load, loaded, manager)
        async with meanwhile(manager.keep_watchdog_quiet()):
            async with meanwhile(reload.obey(signals.reload)), meanwhile(tidy(gateway.running)):
                await signals.first.wait()
            manager.stopping(gateway.time_to_stop)
            return await signals.unless_again(gateway.stop(gateway.settings.server.grace))


async def _starts(gateway: Gateway, signals: Signals) -> bool:
    """Start it; False: it was told to stop meanwhile, and is closed again."""
    starting = asyncio.create_task(gateway.start())
    told = asyncio.create_task(signals.first.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
    if starting.cancelled():
        return False
    await starting
    return True


async def in_front_of_sandbox(settings: Settings, stack: AsyncExitStack) -> Settings:
    """Start an embedded sandbox, which the stack closes, and point the settings at it.

    Raises:
        StartError: no port can be had.
    """
    from headgate.sandbox import start_sandbox  # noqa: PLC0415 - 1 MiB, for the sandbox alone

    limit = PUBLISHED_LIMIT if settings.profile == "published" else CallersSettings()
    own = {"callers": limit, "system_prompt": SystemPromptSettings()}
    sandbox = await start_sandbox(settings.model_copy(update=own), "127.0.0.1:0")
    stack.push_async_callback(sandbox.aclose)
    return settings.model_copy(update={"upstream": sandbox.upstream(settings)})


def _say(gateway: Gateway) -> None:
    tell(f"grpc listening on {gateway.grpc_address}")
    if gateway.http_address is not None:
        tell(f"http listening on {gateway.http_address}")
    if gateway.health_address is not None:
        tell(f"health checks on {gateway.health_address}")
    if gateway.metrics_address is not None:
        tell(f"metrics on {gateway.metrics_address}")
    if gateway.channelz_address is not None:
        tell(f"channelz on {gateway.channelz_address}")
    tell(f"upstream {gateway.settings.upstream.shown_url}")
    tell(limits_line(gateway.settings))
