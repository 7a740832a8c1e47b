"""Every pod keeps to Pod Security's restricted profile; the network is closed but for reasons."""

from __future__ import annotations

import re
from typing import Any

import pytest

from farm.cli.head import SECRETS
from tests.fixtures.policies import selects
from tests.helm.conftest import SETS, Render

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"),
    *("projected", "secret"),
}
"""Kinds of volumes that the profile allows."""
HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]


def violations(context: dict[str, Any]) -> list[str]:
    """What of a container's security context the restricted profile, or HELM-1, forbids."""
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return sorted(
        [key for key, value in wanted.items() if context.get(key) != value]
        + [key for key in context if key not in wanted]
    )


@pytest.mark.parametrize("name", SETS)
def test_every_pod_is_restricted(render: Render, name: str):
    rendered = render.set(name)
    for whose, pod in rendered.pods().items():
        spec = pod["spec"]
        assert not [key for key in HOST if key in spec], whose
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "sysctls" not in spec["securityContext"]
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= VOLUMES, whose
        for container in containers(pod):
            assert not violations(container["securityContext"]), whose
            assert not [port for port in container.get("ports", ()) if "hostPort" in port]
    options = rendered.cluster().get("autoscalerOptions")
    if options:
        assert not violations(options["securityContext"])


def test_the_check_sees_what_it_should(render: Render):
    context = render.set("trial").pods()["head"]["spec"]["containers"][0]["securityContext"]
    assert violations({**context, "privileged": True}) == ["privileged"]
    assert violations({**context, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}})
    assert violations({k: v for k, v in context.items() if k != "readOnlyRootFilesystem"})


@pytest.mark.parametrize("name", SETS)
def test_only_the_autoscaler_gets_a_token_of_kubernetes(render: Render, name: str):
    rendered = render.set(name)
    options = rendered.cluster().get("autoscalerOptions")
    holders = []
    for whose, pod in rendered.pods().items():
        assert pod["spec"]["automountServiceAccountToken"] is False
        for volume in pod["spec"]["volumes"]:
            sources = volume.get("projected", {}).get("sources", [])
            if any("serviceAccountToken" in each for each in sources):
                holders.append((whose, volume["name"]))
                for container in containers(pod):
                    assert volume["name"] not in {m["name"] for m in container["volumeMounts"]}
    assert holders == ([("head", "autoscaler-token")] if options else [])
    if options:
        assert "autoscaler-token" in {mount["name"] for mount in options["volumeMounts"]}


@pytest.mark.parametrize("name", SETS)
def test_what_is_written_to_is_a_volume(render: Render, name: str):
    for whose, pod in render.set(name).pods().items():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
            assert {m["name"] for m in mounts.values()} <= volumes
            home = next(e["value"] for e in container["env"] if e["name"] == "HOME")
            data = ["/var/lib/heliostat"] if whose.startswith(("head", "worker")) else ["/models"]
            for path in ("/tmp", home, *data):
                assert not mounts[path].get("readOnly")


@pytest.mark.parametrize("name", SETS)
def test_no_secret_is_in_what_is_rendered(render: Render, name: str):
    rendered = render.set(name)
    assert not rendered.of("Secret")
    secret = {f"HELIOSTAT_{each.upper()}" for each in (*SECRETS, "ledger", "model_token")}
    for pod in rendered.pods().values():
        for container in containers(pod):
            for variable in container["env"]:
                hides = variable["name"] in secret
                assert hides == ("valueFrom" in variable), variable["name"]
                assert hides or not re.search("TOKEN|PASSWORD|SECRET|ACCESS", variable["name"])
            words = " ".join(container.get("args", ()))
            assert not re.search("--token|password|secret", words)


@pytest.mark.parametrize("name", SETS)
def test_everything_is_denied_to_every_pod_at_first(render: Render, name: str):
    rendered = render.set(name)
    specs = [policy["spec"] for policy in rendered.of("NetworkPolicy")]
    deny = [spec for spec in specs if spec.keys() == {"podSelector", "policyTypes"}]
    assert len(deny) == 1
    assert sorted(deny[0]["policyTypes"]) == ["Egress", "Ingress"]
    for whose, pod in rendered.pods().items():
        assert selects(deny[0]["podSelector"], pod["metadata"]["labels"]), whose


@pytest.mark.parametrize("name", SETS)
def test_every_policy_has_a_reason_names_its_peers_and_is_of_one_direction(
    render: Render, name: str
):
    for policy in render.set(name).of("NetworkPolicy"):
        assert len(policy["metadata"]["annotations"]["heliostat/reason"]) > 10
        spec = policy["spec"]
        rules = [*spec.get("ingress", ()), *spec.get("egress", ())]
        assert rules or policy["metadata"]["name"].endswith("-deny")
        for rule in rules:
            assert len(spec["policyTypes"]) == 1
            assert rule.get("from") or rule.get("to"), "an empty list of peers is everybody"
            ours = all("component" in str(peer) for peer in rule.get("from") or rule["to"])
            assert ours or rule.get("ports"), "others are reached on ports that are named"


ALLOWED = {
    "trial": {"head": {"dns", "ray-from", "ray-to"}},
    "cpu-workers": {
        "head": {"dns", "ray-from", "ray-to", "s3"},
        "worker cpu": {"dns", "ray-from", "ray-to", "s3"},
    },
    "production": {
        "head": {
            *("dns", "ray-from", "ray-to", "s3", "database", "kubernetes-api"),
            *("clients", "metrics"),
        },
        "worker rtx4060ti": {"dns", "ray-from", "ray-to", "s3"},
        "worker rtx4090": {"dns", "ray-from", "ray-to", "s3"},
    },
}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_pod_may_do_what_it_needs_and_no_more(render: Render, name: str):
    rendered = render.set(name)
    found = {
        whose: {
            policy["metadata"]["name"].removeprefix("heliostat-")
            for policy in rendered.of("NetworkPolicy")
            if selects(policy["spec"]["podSelector"], pod["metadata"]["labels"])
        }
        - {"deny"}
        for whose, pod in rendered.pods().items()
    }
    assert found == ALLOWED[name]


def test_the_fetching_pod_reaches_dns_and_the_models_source_alone(render: Render):
    rendered = render.set("full")
    labels = rendered.of("Job")[0]["spec"]["template"]["metadata"]["labels"]
    names = {
        policy["metadata"]["name"]
        for policy in rendered.of("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels)
    }
    assert names == {"heliostat-deny", "heliostat-dns", "heliostat-model-source"}
