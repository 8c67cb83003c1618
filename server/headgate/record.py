"""What is kept of calls: counts, traces and the log, put together in one place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.logs import hide, set_level
from headgate.logs.attempts import AttemptLog
from headgate.logs.calls import AccessLog
from headgate.logs.transcript import Transcript
from headgate.tracing import tracing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings
    from headgate.telemetry.quiet import Quiet
    from headgate.upstream import Upstream


class Record:
    """Follows the calls of one gateway.

    Args:
        settings: with `upstream.url` set.
        telemetry: counts.

    Attributes:
        watch: for both faces: around every call.
        hear: for the upstream: after every attempt.
    """

    def __init__(self, settings: Settings, telemetry: Quiet) -> None:
        access = AccessLog(settings.log, _soon)
        self._access = access
        self._telemetry = telemetry
        self._prompts = settings.log.prompts
        self._tracing = tracing_of(settings)
        self.watch = access.around(self._tracing.around(telemetry.watch))
        self.hear = AttemptLog(settings.upstream.url or "", telemetry.hear).hear

    def entrance(self, corridor: Upstream) -> Upstream:
        """What the faces open: the corridor, or before it the door that writes prompts down."""
        return Transcript(corridor) if self._prompts else corridor

    def unknown(self, face: str, method: str, request_id: str) -> None:
        """A stranger asked a face for something that there is not."""
        self._telemetry.unknown(face)
        self._access.unknown(face, method, request_id)

    def change(self, settings: Settings) -> None:
        """Other lines and labels, from now on; and other secrets that none of them may hold."""
        self._telemetry.know(settings.callers.overrides)
        self._access.change(settings.log)
        set_level(settings.log.level)
        hide(settings.upstream.secrets())

    async def aclose(self) -> None:
        """Send the last spans; a receiver that does not take them is not waited for long."""
        await self._tracing.aclose()


def _soon(work: Callable[[], None]) -> None:
    """In the loop's next turn; by then gRPC has started to send what the handler returned."""
    asyncio.get_running_loop().call_soon(work)
