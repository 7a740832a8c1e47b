"""The chart as Helm's own engine renders it, for several sets of values; without a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import helm_python
import pytest
import yaml

from tools.chart import CHART

PEER = {"ipBlock": {"cidr": "10.0.0.0/24"}}
CPU_GROUP = {"name": "cpu", "cardType": "cpu", "replicas": 2, "minReplicas": 2, "maxReplicas": 2}

REACHED: Mapping[str, Any] = {
    "auth": {"existingSecret": "tokens"},
    "objectStore": {"endpoint": "http://s3:9000", "existingSecret": "s3-keys"},
    "networkPolicy": {"s3": {"to": [PEER], "port": 9000}},
    "head": {"cpuCards": 0},
}
"""The least that a farm sets which workers can join."""


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values, the later ones over the earlier."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            known = result.get(key)
            both = isinstance(known, Mapping) and isinstance(value, Mapping)
            result[key] = merged(known, value) if both else value
    return result


def values_of(name: str) -> dict[str, Any]:
    """One of the chart's own files of values."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / name).read_text(encoding="utf-8"))
    return loaded


FULL = merged(
    REACHED,
    {
        "tls": {"existingSecret": "tls"},
        "renderer": "helios",
        "image": {"pullSecrets": ["registry"], "node": {"digest": f"sha256:{'0' * 64}"}},
        "model": {
            "path": "helios",
            "size": "100Gi",
            "fetch": {"source": "OWNER/NAME", "revision": "abc", "existingSecret": "hub"},
        },
        "head": {"persistence": {"enabled": False}, "gpuCards": 1, "runtimeClassName": "nvidia"},
        "ledger": {"existingSecret": "ledger"},
        "notices": {"existingSecret": "notices"},
        "workers": [
            {
                "name": "a",
                "cardType": "rtx-4060-ti",
                "modelClaim": "other",
                "replicas": 1,
                "minReplicas": 0,
                "maxReplicas": 9,
                "profile": "fast",
                "lanes": 2,
                "vram": "12G",
                "ram": "24G",
                "pageable": True,
                "doctor": False,
                "tags": ["quiet", "rack=r2"],
                "leaveSeconds": 120,
                "priorityClassName": "low",
            },
            CPU_GROUP,
        ],
        "autoscaling": {"enabled": True, "upscalingMode": "Conservative"},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "ingress": {"grpc": {"enabled": True, "host": "g"}, "http": {"enabled": True, "host": "h"}},
        "networkPolicy": {
            **{rule: {"to": [PEER]} for rule in ("database", "kubernetesApi", "modelSource")},
            "notices": {"to": [PEER]},
            "clients": {"from": [PEER]},
            "metrics": {"from": [PEER]},
            "extraEgress": [{"reason": "plates are on NFS", "to": [PEER], "port": 2049}],
        },
        "monitoring": {
            "scrape": "PodMonitor",
            "rules": {"enabled": True},
            "dashboards": {"enabled": True, "annotations": {"folder": "farm"}},
        },
    },
)
SETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "trial": values_of("values-trial.yaml"),
    "production": values_of("values-production.yaml"),
    "reached": REACHED,
    "cpu-workers": merged(REACHED, {"workers": [CPU_GROUP]}),
    "full": FULL,
}


@dataclass(frozen=True)
class Rendered:
    """What a set of values makes."""

    objects: list[dict[str, Any]]
    notes: str
    text: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def cluster(self) -> dict[str, Any]:
        """The spec of the RayCluster."""
        spec: dict[str, Any] = self.of("RayCluster")[0]["spec"]
        return spec

    def pods(self) -> dict[str, dict[str, Any]]:
        """Every template of a pod, by whose it is."""
        cluster = self.cluster()
        found = {"head": cluster["headGroupSpec"]["template"]}
        for group in cluster.get("workerGroupSpecs", ()):
            found[f"worker {group['groupName']}"] = group["template"]
        found |= {job["metadata"]["name"]: job["spec"]["template"] for job in self.of("Job")}
        return found


class Render:
    """Renders the chart, each set of values once."""

    def __init__(self, chart: helm_python.Chart) -> None:
        self._chart = chart
        self._sets: dict[str, Rendered] = {}

    def __call__(self, values: Mapping[str, Any], name: str = "heliostat") -> Rendered:
        """Raises `helm_python.HelmError` with what the chart has to say."""
        made = self._chart.render(dict(values), name=name, namespace="farm")
        notes = made.pop("heliostat/templates/NOTES.txt")
        text = "\n---\n".join(made.values())
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        objects = [each for each in yaml.load_all(text, loader) if each]
        return Rendered(objects, notes, text)

    def set(self, name: str) -> Rendered:
        """One of `SETS`."""
        if name not in self._sets:
            self._sets[name] = self(SETS[name])
        return self._sets[name]


@pytest.fixture(scope="session")
def render() -> Iterator[Render]:
    with helm_python.Chart.load(CHART) as chart:
        yield Render(chart)
