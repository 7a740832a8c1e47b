"""What the chart takes, what it refuses and how, and what each toggle does."""

from __future__ import annotations

import json
import re

import helm_python
import pytest
import yaml

from farm.client.connection import target_of
from farm.config import FarmConfig
from tests.helm.conftest import CPU_GROUP, PEER, REACHED, SETS, Render, merged
from tools.chart import CHART, files, values


@pytest.mark.parametrize("name", ["default", "trial", "production", "full"])
def test_it_passes_a_strict_lint(name: str):
    found = helm_python.lint(CHART, dict(SETS[name]), strict=True)
    assert not found["errors"]
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    "values",
    [
        {"worker": []},
        {"head": {"cpuCard": 1}},
        {"head": {"persistence": {"sise": "1Gi"}}},
        {"image": {"node": {"digests": ""}}},
        {"model": {"fetch": {"sources": "x"}}},
        {"settings": {"electricity": 0.2}},
        {"ingress": {"grpc": {"hosts": "x"}}},
        {"networkPolicy": {"s3": {"too": []}}},
        {"networkPolicy": {"s3": {"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "exept": []}}]}}},
        {"networkPolicy": {"s3": {"to": [{"podSelectors": {}}]}}},
        {"monitoring": {"dashboards": {"enable": True}}},
        {"workers": [{**CPU_GROUP, "replica": 1}]},
        {"workers": [{**CPU_GROUP, "resources": {"limit": {}}}]},
        {"workers": [{**CPU_GROUP, "tolerations": [{"keys": "x"}]}]},
    ],
    ids=json.dumps,
)
def test_a_misspelt_key_is_refused(render: Render, values):
    with pytest.raises(helm_python.HelmError, match="additional properties"):
        render(merged(REACHED, values))


def test_no_level_of_the_schema_takes_unknown_keys():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def look(part, path):
        if isinstance(part, dict):
            if part.get("type") == "object":
                inner = part["additionalProperties"]
                is_map = isinstance(inner, dict) and inner["type"] != "object"
                assert inner is False or is_map, path
            for key, value in part.items():
                look(value, f"{path}/{key}")

    look(schema, "")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"workers": [CPU_GROUP]}, "objectStore.endpoint"),
        ({"head": {"cpuCards": 0}}, "nothing could render"),
        ({"head": {"persistence": {"enabled": False}}}, "ledger.existingSecret"),
        ({"ingress": {"grpc": {"enabled": True, "host": "x"}}}, "off loopback"),
        ({"renderer": "helios"}, "model.path"),
        ({"model": {"fetch": {"source": "A/B"}}}, "model.fetch.source needs"),
        (merged(REACHED, {"auth": {"existingSecret": ""}}), "api_token"),
        (merged(REACHED, {"objectStore": {"existingSecret": ""}}), "secret_key"),
        (merged(REACHED, {"networkPolicy": {"s3": {"to": []}}}), "networkPolicy.s3.to"),
        (merged(REACHED, {"ledger": {"existingSecret": "x"}}), "networkPolicy.database.to"),
        (merged(REACHED, {"notices": {"existingSecret": "x"}}), "networkPolicy.notices.to"),
        (merged(REACHED, {"autoscaling": {"enabled": True}}), "needs workers"),
        (merged(REACHED, {"ingress": {"http": {"enabled": True}}}), "ingress.http needs a host"),
        (merged(REACHED, {"workers": [CPU_GROUP, CPU_GROUP]}), "two worker groups"),
        (merged(REACHED, {"workers": [{**CPU_GROUP, "replicas": 3}]}), "does not hold"),
        (merged(REACHED, {"workers": [{**CPU_GROUP, "name": "x" * 30}]}), "too long"),
        ({"fullnameOverride": "9farm"}, "cannot name"),
    ],
)
def test_what_cannot_work_is_refused_and_the_remedy_named(render: Render, values, says: str):
    with pytest.raises(helm_python.HelmError, match=says):
        render(values)


KINDS = {
    "ServiceMonitor": {"monitoring": {"scrape": "ServiceMonitor"}},
    "PodMonitor": {"monitoring": {"scrape": "PodMonitor"}},
    "PrometheusRule": {"monitoring": {"rules": {"enabled": True}}},
    "ConfigMap": {"monitoring": {"dashboards": {"enabled": True}}},
    "Ingress": {"ingress": {"http": {"enabled": True, "host": "farm.example"}}},
    "Job": {
        "model": {"path": "m", "existingClaim": "models", "fetch": {"source": "A/B"}},
        "networkPolicy": {"modelSource": {"to": [PEER]}},
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_toggle_adds_its_kind_and_no_other(render: Render, kind: str):
    def kinds(rendered):
        return {each["kind"] for each in rendered.objects}

    without, with_it = render(REACHED), render(merged(REACHED, KINDS[kind]))
    assert kinds(with_it) - kinds(without) == {kind}


def test_policies_and_volumes_can_be_left_out(render: Render):
    bare = {
        "networkPolicy": {"enabled": False},
        "ledger": {"existingSecret": "ledger"},
        "head": {"persistence": {"enabled": False}},
    }
    kinds = sorted(each["kind"] for each in render(merged(REACHED, bare)).objects)
    assert kinds == ["RayCluster", "Service"]


def test_settings_are_those_of_the_farm_and_reach_it(render: Render):
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["properties"]["settings"]["properties"]
    assert settings.keys() <= FarmConfig.model_fields.keys()
    pod = render(merged(REACHED, {"settings": {"currency": "EUR", "card_years": 4}})).pods()["head"]
    environment = pod["spec"]["containers"][0]["env"]
    assert {"name": "HELIOSTAT_CURRENCY", "value": "EUR"} in environment
    assert {"name": "HELIOSTAT_CARD_YEARS", "value": "4"} in environment


def test_every_value_is_described_and_known_to_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, _default, description in values():
        assert description, path
        part = schema
        for key in path.split("."):
            part = part["properties"][key]
            part = schema["definitions"][part["$ref"].split("/")[-1]] if "$ref" in part else part


def test_what_is_made_from_elsewhere_is_as_it_is_there():
    made = files()
    different = [str(path) for path, text in made.items() if path.read_text() != text]
    assert not different, "run `make chart`"
    assert {p for p in (CHART / "files").rglob("*") if p.is_file()} <= made.keys()


def test_the_ray_it_names_is_the_locked_one():
    root = CHART.parents[1]
    named = yaml.safe_load((CHART / "values.yaml").read_text())["rayVersion"]
    for lock in ("cpu", "cuda"):
        assert f"\nray=={named} " in (root / "requirements" / f"{lock}.lock").read_text()


@pytest.mark.parametrize("name", ["trial", "production"])
def test_the_notes_say_the_next_command(render: Render, name: str):
    notes = render.set(name).notes
    assert "kubectl --namespace farm wait pod" in notes
    assert re.search("(-- | )farm status$", notes, re.MULTILINE)


def test_clients_are_told_to_speak_tls_to_a_farm_that_others_reach(render: Render):
    for name, speaks_tls in (("trial", False), ("production", True), ("reached", True)):
        said = re.findall(r"HELIOSTAT_ENDPOINT=(\S+)", render.set(name).notes)
        assert len(said) == 1
        assert (target_of(said[0], None)[1] is not None) == speaks_tls
