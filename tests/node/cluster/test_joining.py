"""A machine's way into a farm: what it says of itself, what it is told, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.fleet_ray.names import NAME_LABEL
from farm.fleet_ray.ray_head import NODE_VARIABLE as HEAD_NODE_VARIABLE
from farm.fleet_ray.ray_head import environment as head_environment
from farm.fleet_ray.settings import PORTS, HeadSettings
from node_agent.cli import app
from node_agent.cluster import machine
from node_agent.cluster.errors import JoinError
from node_agent.cluster.presence import CardState, Presence
from node_agent.cluster.progress import Progress
from node_agent.cluster.ray_node import (
    ENVIRONMENT,
    FARM_PORT,
    RAY_PORT_OFFSET,
    CardFacts,
    Head,
    labels_of,
)
from node_agent.cluster.settings import NODE_VARIABLE, NodeSettings
from node_agent.node_file import NodeFileError, load_node, load_places
from node_agent.render.child import ChildOptions


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("farm.example", "farm.example", 8460),
        ("10.0.0.5:9000", "10.0.0.5", 9000),
        ("[fd00::5]:9000", "fd00::5", 9000),
        ("[fd00::5]", "fd00::5", 8460),
    ],
)
def test_a_head_is_named_by_the_farms_address(text: str, host: str, port: int):
    head = Head.parse(text)
    assert (head.host, head.port) == (host, port)
    assert head.ray_port == HeadSettings(data_dir=Path("/"), port=port).port_of("ray-gcs")


@pytest.mark.parametrize("text", ["", "https://farm", "farm:", "farm:0", "farm:70000", "a b"])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(JoinError):
        Head.parse(text)


def test_node_and_head_mean_the_same():
    assert PORTS.index("ray-gcs") == RAY_PORT_OFFSET
    assert HeadSettings(data_dir=Path("/")).port == FARM_PORT
    head = head_environment(HeadSettings(data_dir=Path("/")))
    assert {name: head[name] for name in ENVIRONMENT} == ENVIRONMENT
    assert HEAD_NODE_VARIABLE == NODE_VARIABLE
    assert NAME_LABEL in labels_of("desk", [], 0)


def test_a_head_tells_nodes_apart_within_a_lease():
    """Silence for as long as the checks take is noticed before a lease ends without it."""
    told = head_environment(HeadSettings(data_dir=Path("/")))
    period, timeout, checks = (
        int(told[f"RAY_health_check_{name}"])
        for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert period * checks <= 15_000, "a machine that has died is noticed within 15 s"
    assert 10_000 <= (period + timeout) * checks <= 45_000


def test_labels_tell_cards_memory_and_tags():
    cards = [CardFacts(card_type="rtx-4060-ti", vram_bytes=16 << 30, tags=("quiet", "2nd hand"))]
    assert labels_of("desk", cards, 64 << 30) == {
        "heliostat/name": "desk",
        "heliostat/card-type": "rtx-4060-ti",
        "heliostat/ram-gb": "69",
        "heliostat/vram-gb": "17",
        "heliostat/tag.2nd-hand": "yes",
        "heliostat/tag.quiet": "yes",
    }


def test_agents_read_what_the_node_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = NodeSettings(
        directory=tmp_path / "joined",
        spool=tmp_path / "spool",
        stamps=tmp_path / "verified.json",
        cpu_cards=1,
        model=tmp_path / "model",
        lanes=3,
        inputs=("/mnt/plates",),
        roots={"show": "/mnt/show"},
    )
    settings.save()
    monkeypatch.setenv(NODE_VARIABLE, str(settings.path))
    read = NodeSettings.of_this_node()
    assert read == settings
    assert [read.device(slot) for slot in range(3)] == ["cpu", "cuda:0", "cuda:1"]
    assert read.child(1).arguments().count(str(tmp_path / "model")) == 1


def test_flags_win_over_the_nodes_file_and_that_over_what_is_usual(tmp_path: Path):
    file = tmp_path / "node.toml"
    file.write_text('[node]\nlanes = 3\nmodel = "/m"\ninputs = ["/a"]\n[card.0]\nrack = "r"\n')
    said = machine.said_of(file, {"lanes": 2, "model": None})
    assert (said["lanes"], said["model"], said["inputs"]) == (2, "/m", ["/a"])
    assert said["renderer"] == "helios"
    assert load_places(file)["0"].rack == "r"


def test_what_cards_may_take_and_how_they_run_is_a_flag_or_in_the_file(tmp_path: Path):
    file = tmp_path / "node.toml"
    file.write_text('[node]\nvram = "8G"\nram = "26G"\npageable = true\nprofile = "fast"\n')

    def child(**flags: object) -> ChildOptions:
        said = machine.said_of(file, {"renderer": "testcard", **flags})
        settings = machine.settings_of(said, directory=tmp_path, stamps=tmp_path, file=file)
        return settings.child(0)

    there = child()
    assert (there.vram_bytes, there.ram_bytes) == (8 * 10**9, 26 * 10**9)
    assert (there.pageable, there.profile) == (True, "fast")
    assert child(vram=7, profile="exact") == replace(there, vram_bytes=7, profile="exact")
    with pytest.raises(JoinError, match="no profile 'quick': exact, fast, fast-fp8"):
        child(profile="quick")
    with pytest.raises(JoinError, match="vram: 'much' is no size"):
        child(vram="much")


def test_roots_are_a_flag_or_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "node.toml"
    file.write_text('[node.roots]\nshow = "/mnt/show"\nnas = "films"\n')

    def roots(**flags: object) -> dict[str, str]:
        said = machine.said_of(file, {"renderer": "testcard", **flags})
        settings = machine.settings_of(said, directory=tmp_path, stamps=tmp_path, file=file)
        return dict(settings.roots)

    assert roots() == {"show": "/mnt/show", "nas": f"{tmp_path}/films"}
    assert roots(roots=machine.roots_of(["a1=/a=b"])) == {"a1": "/a=b"}
    for wrong, why in ((["show"], "write it as NAME=DIR"), (["a1=/a", "a1=/b"], "given twice")):
        with pytest.raises(JoinError, match=why):
            machine.roots_of(wrong)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("lane = 3", "node.lane"),
        ("vram = 8", "node.vram"),
        ("pageable = 1", "node.pageable"),
        ('lanes = "3"', "node.lanes"),
        ("lanes = true", "node.lanes"),
        ("inputs = [1]", "node.inputs"),
        ('roots = "/mnt"', "node.roots"),
        ("roots = {show = 1}", "node.roots"),
    ],
)
def test_what_a_nodes_file_cannot_say_is_named(tmp_path: Path, line: str, named: str):
    file = tmp_path / "node.toml"
    file.write_text(f"[node]\n{line}\n")
    with pytest.raises(NodeFileError, match=named):
        load_node(file)


@pytest.mark.parametrize(
    ("arguments", "variable", "told"),
    [
        (["farm"], "", "helios needs a model"),
        (["farm", "--renderer", "card"], "", "no renderer 'card'"),
        (["farm", "--renderer", "testcard", "--gpu-cards", "9"], "", "no 9 GPUs"),
        (["farm", "--renderer", "testcard", "--gpu-cards", "0"], "", "no card to give"),
        (["farm", "--renderer", "testcard", "--cpu-cards", "1", "--name", "a b"], "", "'a b'"),
        (["farm", "--renderer", "testcard", "--cpu-cards", "1"], "", "HELIOSTAT_RAY_TOKEN"),
        (["farm", "--renderer", "testcard", "--cpu-cards", "1"], "two words", "one word"),
    ],
)
def test_what_cannot_join_says_why(
    arguments: list[str],
    variable: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(machine.TOKEN_VARIABLE, variable)
    where = ["--dir", str(tmp_path), "--file", str(tmp_path / "node.toml")]
    done = CliRunner().invoke(app, ["join", *arguments, *where])
    assert done.exit_code != 0
    assert told in str(done.exception)


def test_a_machine_is_in_a_farm_once(tmp_path: Path):
    with machine.only_one(tmp_path):
        other = _elsewhere(f"only_one(Path({str(tmp_path)!r}))")
        assert "farm-node leave" in other.stderr
        seen = _elsewhere(f"print(who_joined(Path({str(tmp_path)!r})))")
        assert seen.stdout.strip() == (tmp_path / machine.LOCK_NAME).read_text().strip()
    assert machine.who_joined(tmp_path) is None


def _elsewhere(statement: str) -> subprocess.CompletedProcess[str]:
    script = f"from node_agent.cluster.machine import *; {statement}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_agents_and_node_hear_each_other(tmp_path: Path):
    presence, state = Presence(tmp_path), CardState(condition="ready", held=2, chunks=5, clips=1)
    presence.clear()
    presence.tell("desk-0", state)
    assert presence.cards() == {"desk-0": state}
    assert not presence.leaving
    presence.ask_to_leave()
    assert presence.leaving
    presence.clear()
    assert (presence.cards(), presence.leaving) == ({}, False)


def test_the_way_to_the_first_clip_is_told_in_time_and_bytes():
    now, traffic, said = [0.0], [(1_000_000, 0)], []
    progress = Progress(said.append, clock=lambda: now[0], traffic=lambda: traffic[0])
    progress.look({"desk-0": CardState(condition="loading")})
    now[0], traffic[0] = 31.0, (3_500_000, 500_000)
    for _ in range(2):
        progress.look({"desk-0": CardState(condition="ready", held=1, chunks=1)})
    now[0] = 120.0
    progress.look({"desk-0": CardState(condition="ready", chunks=4, clips=1)})
    bytes_then = "this machine has received 2.5 MB and sent 0.5 MB"
    assert said == [
        "card desk-0: loading, 0 s after joining",
        "card desk-0: ready, 31 s after joining",
        f"first chunk rendered 31 s after joining: {bytes_then}",
        f"first clip delivered 2.0 min after joining: {bytes_then}",
    ]


def test_node_settings_of_a_later_version_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = {"directory": "/d", "spool": "/s", "stamps": "/t", "inputs": None, "later": 1}
    (tmp_path / "node.json").write_text(json.dumps(content))
    monkeypatch.setenv(NODE_VARIABLE, str(tmp_path / "node.json"))
    assert NodeSettings.of_this_node().inputs is None
