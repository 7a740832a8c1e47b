"""Rollouts by the command line and the SDK, through a real gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN

DIGEST = "b2" * 32


@pytest.fixture(autouse=True)
def _endpoint(running: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_REVIEWER", "ann")
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))


def farm_(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def say(running: RunningFarm, **more: object) -> node_pb.ExchangeResponse:
    """A card's exchange, and a look of the coordinator after it."""
    report = node_pb.CardReport(
        **{
            "card_id": "gpu7-0", "node_id": "n", "hostname": "gpu7", "incarnation": "first",
            "condition": "ready", "stack_id": "torch-1,exact", "release": "0.1.0",
            "model_digest": "a1" * 32,
            "releases": [node_pb.Release(version="0.2.0", python="/opt/0.2.0/bin/python")],
            **more,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    data = node_pb.ExchangeRequest(card=report).SerializeToString()
    answer = node_pb.ExchangeResponse.FromString(running.run(running.rig.gateway.exchange(data)))
    running.rig.link.coordinator.tick()
    return answer


def test_an_upgrade_from_its_first_card_to_its_end(running: RunningFarm, farm: Farm) -> None:
    assert "no rollout was ever begun" in farm_("rollout", "show", code=4)
    assert "there was no rollout yet" in farm_("rollout", "list")
    assert "no card is here" in farm_("upgrade", "0.2.0", code=2)
    say(running)
    assert "rollout 1 of release 0.2.0: canary" in farm_("upgrade", "0.2.0")
    say(running)
    say(running)
    say(running, ready_for="0.2.0")
    (card,) = running.rig.link.coordinator.fleet()[1]
    assert (card.release, card.python_wanted) == ("0.1.0", "/opt/0.2.0/bin/python")
    new = {"incarnation": "second", "release": "0.2.0", "stack_id": "torch-2,exact"}
    say(running, **new)
    number = say(running, **new).examine
    told = node_pb.Examination(number=number, passed=True, psnr_db=47.25, detail="close")
    say(running, examination=told, **new)
    shown = farm_("rollout", "show")
    for text in ("waiting", "gpu7-0 (canary)", "47.2 dB", "torch-1,exact", "farm rollout accept"):
        assert text in shown
    found = json.loads(farm_("rollout", "show", "1", "--json"))
    assert found["cards"][0]["stack_after"] == "torch-2,exact"
    assert farm.accept_rollout(by="ann").state == fleet_pb.ROLLOUT_STATE_ROLLING
    say(running, **new)
    listed = farm_("rollout", "list")
    assert "done" in listed
    assert "ann" in listed
    assert "there is nothing to accept" in farm_("rollout", "accept", code=2)
    assert farm.roll_back(reason="too green").reason == "too green"
    (latest,) = farm.rollouts()
    assert (latest.state, latest.reason) == (fleet_pb.ROLLOUT_STATE_BACK, "too green")
    assert "no rollout 9" in farm_("rollout", "back", "9", code=4)


def test_a_model_is_begun_by_its_digest_and_source(running: RunningFarm) -> None:
    say(running)
    refused = farm_("model", "rollout", "abc", "--source", "hub:a/b", code=2)
    assert "no model's digest" in refused
    begun = json.loads(farm_("model", "rollout", DIGEST, "--source", "hub:a/b", "--json"))
    assert (begun["kind"], begun["name"]) == ("model", DIGEST[:12])
    answer = say(running)
    assert answer.outfit.offer.source == "hub:a/b"
    assert "waits for its node to get the model" in farm_("rollout", "show")
