"""The schedule that this process shares with others, from the settings."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headgate.config import StartError
from headgate.throttle.courier import Courier
from headgate.throttle.ledger import LedgerError
from headgate.throttle.pacer import Pace
from headgate.throttle.shared_store import SharedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings, ThrottleSettings
    from headgate.throttle.ledger import Ledger


class SharedSchedule:
    """A store, its courier and its ledger.

    Attributes:
        store: what the throttle asks.
        courier: what fetches for it.
    """

    def __init__(self, settings: ThrottleSettings, ledger: Ledger) -> None:
        self._required = settings.store_required
        self._ledger = ledger
        self.store = SharedStore(pace_of(settings), least_members=settings.replicas)
        self.courier = Courier(ledger, self.store, timeout=settings.store_timeout)

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger | None) -> SharedSchedule | None:
        """As the settings say, unless a ledger is given; None: nothing is shared.

        Raises:
            ConfigError: the store's password cannot be read.
        """
        if ledger is None and settings.throttle.shared:
            ledger = _redis_ledger(settings)
        return None if ledger is None else cls(settings.throttle, ledger)

    async def start(self, turn: Callable[[], None]) -> None:
        """Enter the schedule; `turn` lets the throttle do what has become due.

        Raises:
            StartError: the store cannot be reached, and is required.
        """
        try:
            await self.courier.start(turn, required=self._required)
        except LedgerError as error:
            raise StartError(
                f"throttle.store: {self.courier.name} cannot be reached: {error}; start it, or set"
                " throttle.store_required = false to go on with this replica's share of the rate"
            ) from error

    def change(self, settings: ThrottleSettings) -> None:
        """Keep another pace; the throttle tells the store."""
        self._ledger.change(pace_of(settings))

    async def aclose(self) -> None:
        """Leave the schedule to the others."""
        await self.courier.aclose()


def pace_of(settings: ThrottleSettings) -> Pace:
    """What the upstream allows."""
    return Pace(
        rate=settings.rate,
        min_interval=settings.min_interval,
        burst=settings.burst,
        margin=settings.margin,
    )


def _redis_ledger(settings: Settings) -> Ledger:
    from headgate.redis_ledger import RedisLedger  # noqa: PLC0415 - only who shares waits for it

    throttle = settings.throttle
    return RedisLedger(
        throttle.store,
        pace=pace_of(throttle),
        key=throttle.store_key or _host_of(settings.upstream.url or ""),
        member=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        password=throttle.read_store_password(),
        ca_file=throttle.store_ca_file,
    )


def _host_of(url: str) -> str:
    """Host and port: what most upstreams count their limits by is the address that calls."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"
