"""A browser without a window, the page, and Envoy before whatever gateway a test has."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from web.stage import PAGE, edge, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import Browser

    from web.reader import Reader

    Visit = Callable[..., AbstractAsyncContextManager[Reader]]

PATIENCE = 30_000
"""Milliseconds until what a test waits for counts as missing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/web" in item.path.as_posix():
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(300))  # the first one may install Envoy


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium."""
    pytest.importorskip("playwright", reason="make test-web installs what these tests need")
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=PATIENCE)
    program = shutil.which("chromium")
    if program is None or not (PAGE / "dist" / "index.html").exists():
        pytest.skip("chromium is missing or the page is not built; run make test-web")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program)
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def origin() -> AsyncIterator[str]:
    """Where the page is served."""
    async with site() as address:
        yield address


@pytest.fixture
def visit(browser: Browser, origin: str, tmp_path: Path) -> Visit:
    """Open the page for a gateway, through Envoy; at the end nobody may have complained."""

    @asynccontextmanager
    async def opened(gateway: str, **how: Any) -> AsyncIterator[Reader]:
        from web.reader import Reader

        async with edge(gateway, origin, tmp_path) as target:
            context = await browser.new_context(
                **{"viewport": {"width": 1000, "height": 760}} | how
            )
            reader = Reader(await context.new_page())
            reader.page.set_default_timeout(PATIENCE)
            await reader.page.goto(f"{origin}/?target={target}")
            try:
                yield reader
            finally:
                await context.close()
        assert reader.complaints == []

    return opened
