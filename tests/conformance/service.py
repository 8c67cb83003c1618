"""What a program calls: a gateway that is stopped, started, given tokens, or replaced."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from front import Front
from gateways import GatewayProcess, PortTakenError
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cases import Gateway
    from papers import Papers

GOAWAY_SECONDS = 1.0
PORTS_TRIED = 5


class Service:
    """One kind of gateway, running; an asynchronous context manager.

    Args:
        gateway: its kind. Of one that has a `second`, programs are told a front's address.
        upstream: the URL of the upstream.
        papers: certificates and tokens.

    Attributes:
        address: for programs.
    """

    def __init__(self, gateway: Gateway, upstream: str, papers: Papers) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._papers = papers
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Returns once it listens.

        Raises:
            StartError: it did not.
        """
        folder = tempfile.TemporaryDirectory(prefix="headgate-gateway-")
        self._folder = Path(self._stack.enter_context(folder))
        self._tokens = self._folder / "tokens"
        try:
            self._write(self._gateway.tokens)
            self._process = await self._started("first", self._gateway.settings)
            self.address = self._process.address
            if self._gateway.second:
                self._front = await self._stack.enter_async_context(Front())
                self._front.lead_to(self._process.port)
                self.address = self._front.address
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def do(self, what: str) -> None:
        """`stop`, `start`, `restart`; `kill`, a crash and a start; `replace`: a second one starts
        and gets whoever connects from now on, then the first one is asked to stop.

        Raises:
            GatewayError: it did not stop, or not start.
        """
        if what != "replace":
            await self._process.do(what)
            return
        second = await self._started("second", _second(self._gateway))
        first, self._process = self._process, second
        self._replaced = first
        self._front.lead_to(self._process.port)
        first.ask_to_stop()
        # gRPC's own server loses a call that comes within the round trip of its GOAWAY: the caller
        # sees CANCELLED, or hears nothing until the grace is over.
        await first.until_deaf()
        await asyncio.sleep(GOAWAY_SECONDS)

    async def sent_away(self, calls: int) -> int:
        """How many calls the gateway that was replaced has refused; waits until it says `calls`."""
        return await self._replaced.sent_away(calls)

    async def count(self, tokens: list[str]) -> None:
        """These tokens count from now on, and no others.

        Raises:
            GatewayError: the gateway did not take them.
        """
        self._write(tokens)
        await self._process.reload()

    async def _started(self, name: str, settings: dict[str, Any]) -> GatewayProcess:
        config = self._folder / f"{name}.toml"
        config.write_text(self._fill("".join(_lines("", settings))), "utf-8")
        process = await _listening(config)
        self._stack.push_async_callback(process.stop)
        return process

    def _write(self, tokens: list[str]) -> None:
        self._tokens.write_text(self._papers.lines(tokens), "utf-8")

    def _fill(self, text: str) -> str:
        nobody = f"http://127.0.0.1:{free_port()}/v1/chat/completions"
        named = {"upstream": self._upstream, "tokens": str(self._tokens), "nobody": nobody}
        for name, value in named.items():
            text = text.replace(f"{{{name}}}", value)
        return self._papers.fill(text)


async def _listening(config: Path) -> GatewayProcess:
    """A gateway that has started, at another port where somebody was quicker."""
    for _ in range(PORTS_TRIED):
        process = GatewayProcess(config)
        try:
            await process.start()
        except PortTakenError as error:
            taken = error
        else:
            return process
    raise taken


def _second(gateway: Gateway) -> dict[str, Any]:
    """The settings of the second one: those of the first, but for what is said of it."""
    settings = dict(gateway.settings)
    for name, value in gateway.second.items():
        old = settings.get(name)
        settings[name] = old | value if isinstance(old, dict) else value
    return settings


def _lines(path: str, settings: dict[str, Any]) -> Iterator[str]:
    """As TOML, whose texts, numbers and lists are written as in JSON."""
    for name, value in settings.items():
        full = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from _lines(full, value)
        else:
            yield f"{full} = {json.dumps(value, ensure_ascii=False)}\n"
