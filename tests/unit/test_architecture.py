"""Imports run one way, from the ground up; `server/README.md` draws the same picture."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import headgate

ROOT = Path(headgate.__file__).parent
# A module may import from its own layer and from those above it in this list.
# A package such as `throttle` is one entry; "headgate" is the package itself.
LAYERS = {
    "ground": "headgate errors secrets wire sse timer outbox outlet write_ahead backoff budget"
    " retry_after v1",
    "configuration": "config",
    "upstream": "trust upstream surrogates upstream_status system_prompt validate",
    "translation": "translate split tool_calls odd_answer extra merge reply",
    "doors": "retry callers throttle join redis_ledger http_upstream",
    "calls": "progress request_id intake identity running_calls hold answer security",
    "statuses": "status rich_status guard ending watch",
    "faces": "notices event_stream grpc_face health reflection channelz http_rules http_face",
    "telemetry": "telemetry logs tracing record",
    "composition": "collector poller signals listen service_manager shared_schedule corridor"
    " gateway reload sandbox server workers demo",
    "command line": "settings_doc flags cli __main__",
}
HEIGHT = {name: height for height, names in enumerate(LAYERS.values()) for name in names.split()}


def imports(file: Path) -> set[str]:
    """What a file imports of this program, wherever in the file, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module(file: Path) -> str:
    return ".".join(["headgate", *file.relative_to(ROOT).with_suffix("").parts]).removesuffix(
        ".__init__"
    )


def entry(name: str) -> str:
    """`headgate.throttle.pacer` stands in the list as `throttle`."""
    return name.split(".")[1] if "." in name else name


MODULES = {module(file): imports(file) for file in ROOT.rglob("*.py") if file.parent.name != "v1"}


def resolve(name: str) -> str | None:
    """The module that an import means: `headgate.wire.Message` is `headgate.wire`."""
    while name.startswith("headgate"):
        if name in MODULES or name == "headgate.v1":
            return name
        name = name.rpartition(".")[0]
    return None


GRAPH = {
    name: {target for imported in found if (target := resolve(imported))} - {name}
    for name, found in MODULES.items()
}


def test_every_module_has_its_layer() -> None:
    """A new module is put where it belongs, and a name that has gone is taken out."""
    assert {entry(name) for name in GRAPH} | {"v1"} == set(HEIGHT)


def test_nothing_imports_from_above() -> None:
    """Errors and wire know nobody; the command line knows everybody."""
    upward = [
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if HEIGHT[entry(target)] > HEIGHT[entry(name)]
    ]
    assert upward == []


def test_no_imports_go_round() -> None:
    """Within a layer and within a package too."""
    TopologicalSorter(GRAPH).prepare()


def test_one_package_speaks_http_to_the_upstream() -> None:
    """What is said of the upstream's client is said there; `security` fetches an issuer's keys."""
    users = {entry(name) for name, found in MODULES.items() if any_httpx(found)}
    assert users == {"http_upstream", "security"}


def any_httpx(found: set[str]) -> bool:
    return any(name.split(".")[0] in {"httpx", "httpx_aiohttp"} for name in found)
