"""What the chart tells Kubernetes of the program is what the program does."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import threading
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.chart import ADAPTER, SECRETS, Rendered
from headgate import gateway, health
from headgate.config import Settings, load, parse_address
from headgate.telemetry.telemetry import Telemetry
from headgate.workers import supervisor
from support.certificates import Authority
from support.ports import free_port
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all Secrets, as the chart names them."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = Authority()
    pair = authority.server()
    files = {
        "api-key/api-key": b"sk-test",
        "store-password/password": b"test",
        "store-ca/ca.crt": authority.pem,
        "tls/tls.crt": pair.certificate,
        "tls/tls.key": pair.key,
        "tls/ca.crt": authority.pem,
        "tokens/tokens": f"search sha256:{'0' * 64}\n".encode(),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def settings(rendered: Rendered, secrets: Path, tmp_path: Path) -> Settings:
    """What the program makes of the rendered file."""
    return read(rendered, secrets, tmp_path)


def read(rendered: Rendered, secrets: Path, folder: Path) -> Settings:
    return load({}, {}, written(rendered, secrets, folder))


def written(rendered: Rendered, secrets: Path, folder: Path) -> Path:
    """The container's file, with the Secrets where they are here."""
    file = folder / "headgate.toml"
    file.write_text(rendered.toml.replace(SECRETS, str(secrets)), encoding="utf-8")
    return file


def test_the_program_knows_every_setting(settings: Settings, tmp_path: Path) -> None:
    """And nothing that was given is lost on the way."""
    file = tomllib.loads((tmp_path / "headgate.toml").read_text(encoding="utf-8"))
    given = {path: value for path, value in _flat(file) if "://" not in path[-2]}
    effective = settings.model_dump(mode="json")
    for path, value in given.items():
        found: Any = effective
        for name in path[1:]:
            found = found[name]
        assert found == (math.inf if value == "inf" else value), path


def _flat(table: dict[str, Any], path: tuple[str, ...] = ("",)) -> Iterator[tuple[Any, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value


def test_ports_are_where_the_program_listens(rendered: Rendered, settings: Settings) -> None:
    """All of them, by name, on an address that others reach."""
    listens = {
        "grpc": settings.listen,
        "health": settings.server.health_listen,
        "metrics": settings.metrics.listen,
        "http": settings.http_listen,
    }
    addresses = {name: parse_address(text) for name, text in listens.items() if text is not None}
    assert rendered.ports == {name: address.port for name, address in addresses.items()}
    assert {address.host for address in addresses.values()} == {"0.0.0.0"}


def test_probes_ask_for_names_that_the_program_has(rendered: Rendered, settings: Settings) -> None:
    """At the address for probes; only the first look at readiness, the last at liveness."""
    asked = {name: rendered.container[name]["grpc"] for name in PROBES}
    port = parse_address(settings.server.health_listen or "").port
    assert {probe["port"] for probe in asked.values()} == {port}
    assert asked["startupProbe"]["service"] in health.READINESS
    assert asked["readinessProbe"]["service"] in health.READINESS
    assert asked["livenessProbe"]["service"] == health.LIVENESS


def test_a_pod_gets_the_time_that_a_stop_takes(rendered: Rendered, settings: Settings) -> None:
    """With one worker and with many; and endpoints have time to be forgotten."""
    server = settings.server
    last_words = max(2 * gateway.LAST_WORDS, supervisor.LAST_WORDS)
    seconds = rendered.pod["spec"]["terminationGracePeriodSeconds"]
    assert seconds >= server.drain_delay + server.grace + last_words
    assert server.drain_delay > 0


def test_files_of_secrets_are_mounted(
    rendered: Rendered, settings: Settings, secrets: Path
) -> None:
    """Every file that the settings name is in a folder with a Secret, and each folder is used."""
    files = {
        settings.upstream.api_key_file,
        settings.throttle.store_password_file,
        settings.throttle.store_ca_file,
        settings.auth.tokens_file,
        settings.tls.cert_file,
        settings.tls.key_file,
        settings.tls.client_ca_file,
    } - {None}
    folders = {str(file).replace(str(secrets), SECRETS).rpartition("/")[0] for file in files}
    assert folders == set(rendered.mounts)


def test_no_secret_is_in_a_manifest(rendered: Rendered, settings: Settings) -> None:
    """The settings take them from files."""
    assert settings.upstream.api_key is None
    assert settings.throttle.store_password is None
    assert rendered.of("Secret") == []


def test_the_policy_lets_out_what_the_settings_need(rendered: Rendered, settings: Settings) -> None:
    """The ports of the upstream and of the store, and names."""
    ports = {
        port["port"]
        for rule in rendered.one("NetworkPolicy")["spec"]["egress"]
        for port in rule.get("ports", ())
    }
    wanted = {53, _port(settings.upstream.url or "")}
    if settings.throttle.shared:
        wanted.add(_port(settings.throttle.store))
    assert ports == wanted


def _port(url: str) -> int:
    scheme, _, rest = url.partition("://")
    port = re.search(r":(\d+)(/|$)", rest)
    return (
        int(port[1]) if port else {"https": 443, "http": 80, "redis": 6379, "rediss": 6379}[scheme]
    )


def test_replicas_know_how_many_they_are(
    renderings: Callable[[str], Rendered], secrets: Path, tmp_path: Path
) -> None:
    """For their share of the rate while the store is away."""
    production = renderings("production")
    smallest = production.one("HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert read(production, secrets, tmp_path).throttle.replicas == smallest


def test_the_autoscaler_asks_for_what_is_exported(renderings: Callable[[str], Rendered]) -> None:
    """By the name that the adapter gives to a metric which the program has."""
    spec = renderings("production").one("HorizontalPodAutoscaler")["spec"]
    (pods,) = [metric["pods"] for metric in spec["metrics"] if metric["type"] == "Pods"]
    (rule,) = yaml.safe_load(ADAPTER.read_text(encoding="utf-8"))["rules"]["custom"]
    exported = {
        f"{family.name}{end}"
        for family in Telemetry().families()
        if family.kind == "histogram"
        for end in ("_sum", "_count")
    }
    asked = re.findall(r"headgate_\w+", rule["seriesQuery"] + rule["metricsQuery"])
    assert set(asked) <= exported
    series = asked[0]
    name = re.sub(rule["name"]["matches"], rule["name"]["as"].replace("$1", r"\1"), series)
    assert name == pods["metric"]["name"]


def test_the_program_accepts_the_file(rendered: Rendered, secrets: Path, tmp_path: Path) -> None:
    """`headgate check` with the Secrets in place."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "headgate", "check"),
            *("--config", written(rendered, secrets, tmp_path)),
        ],
        env=clean_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def serving(rendered: Rendered, secrets: Path, folder: Path) -> Iterator[dict[str, int]]:
    """The container's own command with its own file, on free ports; gives them by name."""
    file = written(rendered, secrets, folder)
    text, ports = file.read_text(encoding="utf-8"), {}
    for name, port in rendered.ports.items():
        ports[name] = free_port()
        text = text.replace(f'"0.0.0.0:{port}"', f'"127.0.0.1:{ports[name]}"')
    file.write_text(text, encoding="utf-8")
    command, flag, _ = rendered.container["args"]
    process = subprocess.Popen(
        [sys.executable, "-m", "headgate", command, flag, file],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        said = ""
        while "limits (" not in said and process.poll() is None:
            said += process.stderr.readline()
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        try:
            assert process.poll() is None, said
            yield ports
        finally:
            process.kill()
            reader.join()


@pytest.mark.parametrize("name", ["minimal", "minimal-http", "mesh", "linkerd"])
def test_probes_pass_against_the_program(
    name: str, renderings: Callable[[str], Rendered], secrets: Path, tmp_path: Path
) -> None:
    """Each probe's name is SERVING on the probe's port, and the monitor's path answers."""
    rendered = renderings(name)
    with serving(rendered, secrets, tmp_path) as ports:
        with grpc.insecure_channel(f"127.0.0.1:{ports['health']}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for probe in PROBES:
                service = rendered.container[probe]["grpc"]["service"]
                answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING, probe
        with urlopen(f"http://127.0.0.1:{ports['metrics']}/metrics") as page:
            assert b"# TYPE headgate_queue_wait_seconds histogram" in page.read()
