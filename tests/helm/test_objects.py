"""What is rendered is what Kubernetes, KubeRay and Ray's autoscaler take; reviewed by eye."""

from __future__ import annotations

import json
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from farm import __version__
from farm.fleet_ray.settings import HeadSettings
from node_agent.cluster.ray_node import CardFacts, Head, label_word, resources_of
from tests.helm.conftest import CPU_GROUP, REACHED, SETS, Render, Rendered, merged

HERE = Path(__file__).parent
OF_OPERATORS = {"RayCluster", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
VERSIONS = ("1.29", "1.37")
"""The oldest that Chart.yaml takes, and the newest whose schemas are at hand."""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SETS)
def test_kubernetes_takes_it(render: Render, name: str, version: str):
    rendered = render.set(name)
    objects = [each for each in rendered.objects if each["kind"] not in OF_OPERATORS]
    for pod in rendered.pods().values():
        objects.append({"apiVersion": "v1", "kind": "Pod", **deepcopy(pod)})
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_kuberay_takes_it(render: Render, name: str):
    schema = json.loads((HERE / "schemas" / "raycluster.json").read_text())
    cluster = render.set(name).of("RayCluster")[0]
    jsonschema.validate(cluster, schema)
    options = cluster["spec"].get("autoscalerOptions")
    assert (options is not None) == cluster["spec"]["enableInTreeAutoscaling"]
    if options:
        parts = {key: options[key] for key in ("env", "resources", "securityContext")}
        container = {"name": "autoscaler", "image": "x", **parts}
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
        kubernetes_validate.validate(pod, VERSIONS[0], strict=True)


def test_the_schema_of_kuberay_refuses_what_it_does_not_know(render: Render):
    schema = json.loads((HERE / "schemas" / "raycluster.json").read_text())
    cluster = deepcopy(render.set("production").of("RayCluster")[0])
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(cluster, schema)


@pytest.mark.parametrize("name", ["production", "full"])
def test_rays_autoscaler_reads_what_the_nodes_will_have(render: Render, name: str):
    """KubeRay's autoscaler adds a node of the type whose resources are asked for."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    cluster = deepcopy(render.set(name).of("RayCluster")[0])
    cluster["metadata"]["namespace"] = "farm"
    derive = autoscaling_config._derive_autoscaling_config_from_ray_cr
    types = derive(cluster)["available_node_types"]
    head = types["headgroup"]["resources"]
    assert (head["CPU"], head["coordinator"], head["gateway"]) == (0, 1, 1)
    for group in SETS[name]["workers"]:
        found = types[group["name"]]["resources"]
        found.pop("memory", None)
        joins_with = resources_of([CardFacts(card_type=group["cardType"])])
        assert found == {"CPU": 0, "GPU": 0, **joins_with}
        assert types[group["name"]]["max_workers"] == group["maxReplicas"]


def test_the_ports_are_those_of_the_farm(render: Render):
    pod = render.set("trial").pods()["head"]["spec"]["containers"][0]
    base = next(int(e["value"]) for e in pod["env"] if e["name"] == "HELIOSTAT_PORT")
    settings = HeadSettings(data_dir=Path("/"), port=base)
    names = {"gcs-server": "ray-gcs", "metrics": "ray-metrics"}
    for port in pod["ports"]:
        assert port["containerPort"] == settings.port_of(names.get(port["name"], port["name"]))
    assert settings.port_of("ray-gcs") == 6379, "where KubeRay's autoscaler and init container look"

    worker = render.set("cpu-workers").pods()["worker cpu"]["spec"]["containers"][0]
    assert Head.parse(worker["args"][1]).ray_port == 6379
    assert worker["args"][1].split(":")[0] == "heliostat-head-svc", "as KubeRay calls it"


def test_the_gateways_service_and_monitors_find_the_head(render: Render):
    rendered = render.set("full")
    labels = rendered.pods()["head"]["metadata"]["labels"]
    service, monitor = rendered.of("Service")[0], rendered.of("PodMonitor")[0]
    assert service["spec"]["selector"].items() <= labels.items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "heliostat", "the job that rules speak of"
    scraped = render.set("production").of("ServiceMonitor")[0]["spec"]
    labels = render.set("production").of("Service")[0]["metadata"]["labels"]
    assert scraped["selector"]["matchLabels"].items() <= labels.items()
    assert labels[scraped["jobLabel"]] == "heliostat"


def test_rules_and_dashboards_come_whole(render: Render):
    rendered = render.set("production")
    rules = HERE.parents[1] / "farm" / "monitoring" / "prometheus" / "rules"
    wanted = [yaml.safe_load(path.read_text()) for path in sorted(rules.glob("*.yml"))]
    assert [each["spec"] for each in rendered.of("PrometheusRule")] == wanted
    boards = {
        name: json.loads(text)
        for each in rendered.of("ConfigMap")
        for name, text in each["data"].items()
    }
    grafana = HERE.parents[1] / "farm" / "monitoring" / "grafana"
    assert boards == {p.name: json.loads(p.read_text()) for p in grafana.glob("*.json")}
    for each in rendered.of("ConfigMap"):
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_longest_name_of_a_pod_can_name_a_machine(render: Render):
    """A node is called as its pod, and `farm-node join` takes 50 letters."""
    group = {**CPU_GROUP, "name": "g" * (36 - len("heliostat"))}
    cluster = render(merged(REACHED, {"workers": [group]})).of("RayCluster")[0]
    named = cluster["spec"]["workerGroupSpecs"][0]["groupName"]
    name = f"{cluster['metadata']['name']}-{named}-worker-abcde"  # as KubeRay makes it
    assert label_word(name) == name


@pytest.mark.parametrize("name", ["trial", "production", "full"])
def test_it_is_as_it_was_when_it_was_reviewed(render: Render, name: str):
    """After a change: HELIOSTAT_SNAPSHOTS=1 pytest tests/helm, and read the difference."""
    text = snapshot(render.set(name))
    path = HERE / "snapshots" / f"{name}.yaml"
    if os.environ.get("HELIOSTAT_SNAPSHOTS"):
        path.write_text(text)
    assert text == path.read_text()


def snapshot(rendered: Rendered) -> str:
    """What is rendered, rules and dashboards shortened, without the chart's version."""
    objects: list[dict[str, Any]] = deepcopy(rendered.objects)
    for each in objects:
        if each["kind"] == "ConfigMap":
            each["data"] = dict.fromkeys(each["data"], "…")
        if each["kind"] == "PrometheusRule":
            each["spec"] = {"groups": [group["name"] for group in each["spec"]["groups"]]}
    objects.sort(key=lambda each: (each["kind"], each["metadata"]["name"]))
    text = yaml.safe_dump_all(objects, sort_keys=True, allow_unicode=True, width=100)
    version = re.escape(__version__)
    return re.sub(rf"(?<=[-: ]){version}$", "VERSION", text, flags=re.MULTILINE)
