"""The chart's renderings; without the tools, a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.chart import VALUES, Rendered, render
from deploy.tools import missing

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/deploy" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def tools() -> None:
    """Helm and its company are installed; else the test is skipped."""
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def renderings(tools: None) -> Callable[[str], Rendered]:
    """Each set of values of the chart, rendered once."""
    del tools
    made: dict[str, Rendered] = {}

    def of(name: str) -> Rendered:
        if name not in made:
            made[name] = render(name)
        return made[name]

    return of


@pytest.fixture(params=sorted(VALUES))
def rendered(request: pytest.FixtureRequest, renderings: Callable[[str], Rendered]) -> Rendered:
    """The test runs once for each set of values."""
    return renderings(request.param)
