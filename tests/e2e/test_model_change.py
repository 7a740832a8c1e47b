"""A farm at work is brought to another model: old and new render side by side until a person
accepts, and one command brings the old one back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.v1 import fleet_service_pb2 as fleet_pb
from tests.fixtures.farm import BIN, RealFarm, clean_environment, running_farm
from tests.fixtures.rolling_farm import Work

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CARDS = 2
NOWHERE = "https://127.0.0.1:1/new"


def tiny(directory: Path, seed: int) -> str:
    """Build a small model; returns its digest."""
    command = [BIN / "farm-node", "model", "tiny", directory, "--seed", str(seed), "--json"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, check=True)
    return str(json.loads(done.stdout)["digest"])


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[RealFarm]:
    tiny(tmp_path / "old", 0)
    with running_farm(cpu_cards=CARDS, renderer="helios", model=str(tmp_path / "old")) as farm:
        yield farm


def test_the_old_model_renders_on_until_the_new_one_is_accepted(farm: RealFarm) -> None:
    """How a model comes to a node is another matter (tests/cluster): it is there already."""
    (old,) = digests(farm)
    new = tiny(farm.data_dir / "models" / "new", 1)
    work = Work(farm, CARDS, chunks=2, steps="1,1,1")
    farm.cli("model", "rollout", new, "--source", NOWHERE, "--name", "new")
    begun = work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_WAITING)
    (canary,) = (card.card_id for card in begun.cards if card.canary)
    assert digests(farm) == {old: 1, new: 1}
    for card in farm.client.cards():
        work.goes_on(card.card_id)
    assert digests(farm) == {old: 1, new: 1}, "it waits for a person"

    farm.cli("rollout", "accept")
    work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_DONE)
    assert digests(farm) == {new: CARDS}

    farm.cli("rollout", "back")
    work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_BACK, "returned")
    assert digests(farm) == {old: CARDS}
    work.goes_on(canary)
    work.check_that_nothing_is_lost(cards=False)
    models = work.check_that_none_is_of_two(
        lambda take: take.model_digest, lambda card: (card.before, new)
    )
    assert models == {old, new}


def digests(farm: RealFarm) -> dict[str, int]:
    """How many cards render with which model."""
    found = [card.model_digest for card in farm.client.cards()]
    return {digest: found.count(digest) for digest in found}
