"""The pages on Kubernetes and the meshes name what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.chart import CHART, NEWEST, OLDEST, Rendered, faults
from deploy.image import DOCKERFILE, instructions
from deploy.tools import DEFINITIONS, HELM, ROOT
from headgate.config.names import is_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = ROOT / "deploy" / "docs"
PAGES = {
    name: (DOCS / f"{name}.md").read_text("utf-8") for name in ("kubernetes", "istio", "linkerd")
}
SECTIONS = {"auth", "callers", "retry", "server", "throttle", "tls", "upstream"}
INSTALL = "helm upgrade --install "


def spoken(text: str) -> Iterator[str]:
    """What stands in backticks within sentences and tables."""
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`]+)`", without_blocks)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_settings_and_values_exist(page: str) -> None:
    """Each dotted name is a setting of the program or a value of the chart."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    unknown = []
    for word in spoken(PAGES[page]):
        path = tuple(re.sub(r":.*", "", word).split("."))
        if len(path) < 2 or not all(re.fullmatch(r"\w+", name) for name in path):
            continue
        if path[0] in SECTIONS and not is_setting(path):
            unknown.append(word)
        if path[0] in values and path[0] != "settings" and not _has(values, path):
            unknown.append(word)
    assert unknown == []


def _has(values: dict[str, Any], path: tuple[str, ...]) -> bool:
    found: Any = values
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """To files that are there, and to titles in them."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        path, _, title = target.partition("#")
        file = (DOCS / path).resolve() if path else DOCS / f"{page}.md"
        assert file.exists(), target
        if title:
            text = file.read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert title in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_commands_render(page: str, tools: None) -> None:
    """Every `helm upgrade` of a page gives manifests that are valid."""
    del tools
    lines = [line for line in PAGES[page].splitlines() if line.startswith(INSTALL)]
    assert lines
    for line in lines:
        words = shlex.split(line.removeprefix(INSTALL))
        done = subprocess.run(
            [HELM, "template", *words, "--kube-version", NEWEST],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert faults(done.stdout, NEWEST) == ""


@pytest.mark.parametrize("page", sorted(PAGES))
def test_values_in_pages_can_be_set(page: str) -> None:
    """Each block of YAML has only keys that the chart or the program has."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL):
        for path in _paths(yaml.safe_load(block)):
            known = is_setting(path[1:]) if path[0] == "settings" else _has(values, path)
            assert known, path


def _paths(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _paths(value, (*path, name))
        else:
            yield (*path, name)


def test_annotations_are_those_of_the_chart(renderings: Callable[[str], Rendered]) -> None:
    """What the page on Linkerd says that the chart sets."""
    set_here = renderings("linkerd").pod["metadata"]["annotations"]
    told = {}
    for word in spoken(PAGES["linkerd"]):
        name, _, value = word.partition(": ")
        if value and "linkerd.io/" in name:
            told[name] = value.strip('"')
    assert told.items() <= set_here.items()
    assert len(told) == 3


def test_versions_are_those_that_are_checked() -> None:
    """Of Kubernetes, Istio, the operator, and of the user that the image runs as."""
    page = PAGES["kubernetes"]
    oldest, newest = (version.rpartition(".")[0] for version in (OLDEST, NEWEST))
    assert f"Kubernetes {oldest} and {newest}" in page
    for module, name in [("istio.io/api", "Istio"), ("prometheus-operator", "operator")]:
        (place,) = [place for place in DEFINITIONS if module in place]
        version = re.search(r"@v(\d+\.\d+)", place)
        assert version is not None
        assert f"{name} {version[1]}" in page
    user = dict(instructions(DOCKERFILE.read_text(encoding="utf-8")))["USER"]
    assert f"user {user.partition(':')[0]}" in page
