"""The chart renders what Kubernetes accepts, and nothing that cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.chart import ALERTS, CHART, NEWEST, OLDEST, VALUES, Rendered, faults, refusal, render

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = {
    "minimal": {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"),
        "ServiceAccount",
    },
    "production": {"HorizontalPodAutoscaler", "PrometheusRule", "ServiceMonitor"},
    "mesh": {"DestinationRule", "PeerAuthentication", "PodMonitor", "VirtualService"},
}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_value_set_is_valid(name: str, version: str, tools: None) -> None:
    """Against the schemas of the oldest and the newest Kubernetes, no unknown field allowed."""
    del tools
    assert faults(render(name, version=version).text, version) == ""


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("maxUnavailable: 1", "maxUnavailble: 1", "maxUnavailble"),
        ("timeout: 0s", "timeuot: 0s", "timeuot"),
        ("port: metrics", "prot: metrics", "prot"),
        ("type: RuntimeDefault", "typ: RuntimeDefault", "typ"),
        ("kind: VirtualService", "kind: VirtualServices", "VirtualServices"),
        ("periodSeconds: 2", "periodSeconds: often", "often"),
    ],
)
def test_a_wrong_manifest_is_found(
    was: str, becomes: str, said: str, renderings: Callable[[str], Rendered]
) -> None:
    """Else the test above would say nothing."""
    text = renderings("mesh").text
    assert was in text
    assert said in faults(text.replace(was, becomes), NEWEST)


def test_value_sets_have_what_they_are_for(renderings: Callable[[str], Rendered]) -> None:
    """The small one is small, the others add what they are about."""
    kinds = {name: {r["kind"] for r in renderings(name).resources} for name in KINDS}
    assert kinds["minimal"] == KINDS["minimal"]
    assert kinds["production"] == KINDS["minimal"] | KINDS["production"]
    assert kinds["mesh"] == KINDS["minimal"] | KINDS["mesh"]


def test_every_selector_finds_the_pods(rendered: Rendered) -> None:
    """Of services, budgets, policies, monitors and spreads."""
    labels = rendered.pod["metadata"]["labels"].items()
    for resource in rendered.resources:
        for selector in _selectors(resource):
            assert selector.items() <= labels, resource["kind"]


def _selectors(resource: dict[str, Any]) -> list[dict[str, str]]:
    spec = resource.get("spec", {})
    if resource["kind"] == "Service":
        return [spec["selector"]]
    if resource["kind"] == "ServiceMonitor":
        return []  # it looks for a service, see below
    found = [spec[name]["matchLabels"] for name in ("selector", "podSelector") if name in spec]
    if resource["kind"] == "Deployment":
        spreads = spec["template"]["spec"]["topologySpreadConstraints"]
        found += [spread["labelSelector"]["matchLabels"] for spread in spreads]
    return found


def test_a_service_monitor_finds_one_service(renderings: Callable[[str], Rendered]) -> None:
    """Two would scrape each pod twice."""
    production = renderings("production")
    monitor = production.one("ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [s for s in production.of("Service") if wanted <= s["metadata"]["labels"].items()]
    assert len(services) == 1
    assert monitor["endpoints"][0]["port"] in {p["name"] for p in services[0]["spec"]["ports"]}


def test_named_ports_exist(rendered: Rendered) -> None:
    """What services, policies and monitors point at is a port of the container."""
    names = set(rendered.ports)
    for service in rendered.of("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for rule in rendered.one("NetworkPolicy")["spec"]["ingress"]:
        assert {p["port"] for p in rule["ports"] if isinstance(p["port"], str)} <= names
    for monitor in rendered.of("PodMonitor"):
        assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} <= names


def test_istio_routes_to_the_service(renderings: Callable[[str], Rendered]) -> None:
    """Host and ports are the service's; no timeout, no retries, no statuses as outliers."""
    mesh = renderings("mesh-hash")
    service = mesh.of("Service")[0]
    host = f"{service['metadata']['name']}.models.svc.cluster.local"
    routes = mesh.one("VirtualService")["spec"]
    assert routes["hosts"] == [host]
    ports = [port["port"] for port in service["spec"]["ports"]]
    assert [route["match"] for route in routes["http"]] == [[{"port": port}] for port in ports]
    for route, port in zip(routes["http"], ports, strict=True):
        assert route["route"] == [{"destination": {"host": host, "port": {"number": port}}}]
        assert (route["timeout"], route["retries"]) == ("0s", {"attempts": 0})
    rule = mesh.one("DestinationRule")["spec"]
    assert rule["host"] == host
    outliers = rule["trafficPolicy"]["outlierDetection"]
    assert (outliers["consecutive5xxErrors"], outliers["consecutiveGatewayErrors"]) == (0, 0)


def test_a_sidecar_outlives_the_streams(renderings: Callable[[str], Rendered]) -> None:
    """In Istio until no connection is left, in Linkerd as a native sidecar; probes go past it."""
    istio = renderings("mesh").pod["metadata"]["annotations"]["proxy.istio.io/config"]
    assert yaml.safe_load(istio) == {
        "holdApplicationUntilProxyStarts": True,
        "proxyMetadata": {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"},
    }
    linkerd = renderings("linkerd").pod["metadata"]["annotations"]
    assert linkerd["config.beta.linkerd.io/proxy-enable-native-sidecar"] == "true"
    health = renderings("linkerd").ports["health"]
    assert linkerd["config.linkerd.io/skip-inbound-ports"] == str(health)


def test_a_pod_is_locked_down(rendered: Rendered) -> None:
    """Nobody's user, nothing to write, no capability, no token of the cluster's."""
    pod, container = rendered.pod["spec"], rendered.container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert all(mount["readOnly"] for mount in rendered.container["volumeMounts"])
    assert "limits" in rendered.container["resources"]


def test_further_files_come_by_volumes() -> None:
    """Beside the chart's own, for what settings name: an authority, a prompt."""
    volume, mount = "extraVolumes[0]", "extraVolumeMounts[0]"
    rendered = render(
        "production",
        f"{volume}.name=more,{volume}.configMap.name=authorities",
        f"{mount}.name=more,{mount}.mountPath=/etc/more,{mount}.readOnly=true",
    )
    assert faults(rendered.text, NEWEST) == ""
    assert {"name": "more", "configMap": {"name": "authorities"}} in rendered.pod["spec"]["volumes"]
    mounts = rendered.container["volumeMounts"]
    assert {"name": "more", "mountPath": "/etc/more", "readOnly": True} in mounts
    assert len(mounts) > 2


def test_alerts_are_those_of_the_repository(renderings: Callable[[str], Rendered]) -> None:
    """One file, wherever it is read; and the scrapes get the job that its rules ask for."""
    production = renderings("production")
    alerts = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    assert production.one("PrometheusRule")["spec"] == alerts
    (endpoint,) = production.one("ServiceMonitor")["spec"]["endpoints"]
    assert {"targetLabel": "job", "replacement": "headgate"} in endpoint["relabelings"]
    assert (CHART / "files" / "alerts.yaml").resolve() == ALERTS


def test_a_pace_in_memory_has_one_pod(renderings: Callable[[str], Rendered]) -> None:
    """Not even an update makes two; where replicas may be many, none is missing meanwhile."""
    minimal = renderings("minimal").one("Deployment")["spec"]
    assert (minimal["replicas"], minimal["strategy"]) == (1, {"type": "Recreate"})
    for name in ("production", "mesh"):
        strategy = renderings(name).one("Deployment")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_changed_settings_start_new_pods(renderings: Callable[[str], Rendered]) -> None:
    """The template's checksum is of the file."""
    other = render("minimal", "settings.throttle.max_wait=5")
    name = "checksum/settings"
    assert (
        other.pod["metadata"]["annotations"][name]
        != renderings("minimal").pod["metadata"]["annotations"][name]
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["settings.upstream.url="], "settings.upstream.url is not set"),
        (["replicas=3"], "the upstream would see 3 times of it"),
        (["autoscaling.enabled=true"], "the upstream would see 10 times of it"),
        (["replicas=2", "settings.profile=unlimited", "settings.throttle.rate=5"], "2 times"),
        (["settings.listen=0.0.0.0:1"], "settings.listen must not be set"),
        (["settings.metrics.listen=0.0.0.0:1"], "settings.metrics.listen must not be set"),
        (["settings.server.grace=inf"], "settings.server.grace must be a number"),
        (["settings.upstream.model=null"], "model has no value"),
        (["replica=3"], "additional properties 'replica' not allowed"),
        (["mesh.kind=consul"], "one of"),
        (["mesh.kind=linkerd", "settings.callers.trusted_peers={10.0.0.0/8}"], "in Linkerd"),
    ],
)
def test_what_cannot_work_is_refused(overrides: list[str], said: str, tools: None) -> None:
    """Before it is in the cluster, in words."""
    del tools
    assert said in refusal("minimal", *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["settings.profile=unlimited"],
        ["settings.throttle.store=redis://redis:6379/0"],
        ["settings.throttle.rate=inf", "settings.throttle.min_interval=0"],
    ],
)
def test_what_can_be_many_may_be(overrides: list[str], tools: None) -> None:
    """Without a pace, or with one schedule."""
    del tools
    assert render("minimal", *overrides, "replicas=3").one("Deployment")["spec"]["replicas"] == 3
