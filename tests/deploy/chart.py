"""The chart, rendered by Helm, and what a test looks for in it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deploy.tools import CRDS, HELM, PYTHON, ROOT

CHART = ROOT / "deploy" / "helm" / "headgate"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ADAPTER = ROOT / "deploy" / "helm" / "prometheus-adapter.yaml"
OLDEST, NEWEST = "1.29.0", "1.37.0"
# Where the chart puts secrets in the container.
SECRETS = "/run/secrets/headgate"

# Those that the documentation is about, and the options that none of them has.
VALUES: dict[str, tuple[str, ...]] = {
    "minimal": (),
    "production": (),
    "mesh": (),
    "minimal-http": ("http=true", "service.type=LoadBalancer", "prometheusRule.enabled=true"),
    "production-pod-monitor": ("monitor.kind=PodMonitor",),
    "linkerd": ("clusterDomain=example.internal",),
    "mesh-hash": ("mesh.istio.hashIdempotencyKey=true", "http=true"),
}
Resource = dict[str, Any]


class Rendered(NamedTuple):
    """What Helm made of one set of values."""

    text: str
    resources: list[Resource]

    def of(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource["kind"] == kind]

    def one(self, kind: str) -> Resource:
        (resource,) = self.of(kind)
        return resource

    @property
    def pod(self) -> Resource:
        template: Resource = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Resource:
        (container,) = self.pod["spec"]["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def toml(self) -> str:
        return str(self.one("ConfigMap")["data"]["headgate.toml"])

    @property
    def ports(self) -> dict[str, int]:
        """Of the container, by name."""
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    @property
    def mounts(self) -> dict[str, str]:
        """The Secret in each folder of the container."""
        volumes = {v["name"]: v for v in self.pod["spec"]["volumes"] if "secret" in v}
        return {
            mount["mountPath"]: volumes[mount["name"]]["secret"]["secretName"]
            for mount in self.container["volumeMounts"]
            if mount["name"] in volumes
        }


def values_file(name: str) -> Path:
    return CHART / "ci" / f"{name.partition('-')[0]}-values.yaml"


def render(name: str, *overrides: str, version: str = NEWEST) -> Rendered:
    """Render a set of values of VALUES, with further `path=value` settings.

    Raises:
        AssertionError: Helm refuses, with what it says.
    """
    done = _helm(name, *VALUES[name], *overrides, version=version)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return Rendered(done.stdout, documents)


def refusal(name: str, *overrides: str) -> str:
    """What Helm says to values that it must not render."""
    done = _helm(name, *overrides, version=NEWEST)
    assert done.returncode != 0, "it was rendered"
    return done.stderr


def _helm(name: str, *overrides: str, version: str) -> subprocess.CompletedProcess[str]:
    settings = [word for override in overrides for word in ("--set", override)]
    return subprocess.run(
        [
            *(str(HELM), "template", "canal", str(CHART), "--namespace", "models"),
            *("--kube-version", version, "--values", str(values_file(name)), *settings),
        ],
        check=False,
        capture_output=True,
        text=True,
    )


def faults(text: str, version: str) -> str:
    """What the schemas say against manifests, a line each."""
    program = Path(__file__).with_name("validate.py")
    done = subprocess.run(
        [PYTHON, program, version, CRDS], input=text, check=False, capture_output=True, text=True
    )
    assert done.returncode in {0, 1}, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout
