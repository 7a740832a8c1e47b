"""The commands in the pods are commands of ours: flags and variables are known to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from farm.cli.app import app as farm
from farm.config import FarmConfig, load, start_problems
from node_agent.cli import app as farm_node
from tests.helm.conftest import SETS, Render

APPS: dict[str, typer.Typer] = {"farm": farm, "farm-node": farm_node}


def parse(words: list[str]) -> None:
    """A command line as its own program parses it, up to where it would run.

    Raises KeyError for what is no command, and what typer raises for flags and their values.
    """
    command = typer.main.get_command(APPS[words[0]])
    rest = words[1:]
    while isinstance(command, typer.core.TyperGroup):
        command = command.commands[rest.pop(0)]
    command.make_context(words[0], rest)


@pytest.mark.parametrize("name", SETS)
def test_every_command_line_is_understood(render: Render, name: str):
    for pod in render.set(name).pods().values():
        for container in pod["spec"]["containers"]:
            parse([*container["command"], *container["args"]])


def test_the_parser_refuses_what_there_is_not():
    with pytest.raises(Exception, match="No such option"):
        parse(["farm-node", "join", "head", "--gpu-card=1"])
    with pytest.raises(Exception, match="valid integer"):
        parse(["farm-node", "join", "head", "--gpu-cards=one"])
    with pytest.raises(KeyError):
        parse(["farm", "start"])


@pytest.mark.parametrize("name", SETS)
def test_the_head_starts_with_its_environment(
    render: Render, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Of Secrets a test has words of its own; all else is as rendered."""
    container = render.set(name).pods()["head"]["spec"]["containers"][0]
    for variable in container["env"]:
        given = {"HELIOSTAT_LEDGER": "postgresql://farm@db/farm"}
        given["HELIOSTAT_NOTICES_WEBHOOK"] = "https://hook.example/x"
        secret = given.get(variable["name"], "0123456789abcdef")
        monkeypatch.setenv(variable["name"], variable.get("value", secret))
    ours = {v["name"] for v in container["env"] if v["name"].startswith("HELIOSTAT_")}
    assert ours <= {f"HELIOSTAT_{field.upper()}" for field in FarmConfig.model_fields}
    assert not start_problems(load(None, {}))


def test_hashes_of_the_model_are_left_where_workers_find_them(render: Render):
    """Beside the model, by the path that workers mount it by: they are known by it."""
    pods = render.set("full").pods()
    job = next(pod for whose, pod in pods.items() if "model" in whose)["spec"]["containers"][0]
    [directory] = [a.split("=")[1] for a in job["args"] if a.startswith("--models-dir=")]
    model = Path(job["args"][3])
    assert model.parent == Path(directory)
    workers = [pod["spec"]["containers"][0] for whose, pod in pods.items() if "worker" in whose]
    for container in workers:
        assert f"--model={model}" in container["args"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts[directory]["readOnly"]
