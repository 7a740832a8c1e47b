"""A farm at work is brought to another release: to one card first, and on, or back.

Four test cards render all the time. The releases are real environments with another copy of
`node_agent`: one renders wrongly, one has another stack id and the same pictures.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.v1 import fleet_service_pb2 as fleet_pb
from node_agent.releases.catalog import running_release
from tests.fixtures.farm import RealFarm, running_farm
from tests.fixtures.release import HARMLESS, WRONG, make_release
from tests.fixtures.rolling_farm import Work

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CARDS = 4
NOW, BAD, GOOD = running_release(), "0.2.0", "0.2.1"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    make_release(tmp_path, BAD, WRONG)
    make_release(tmp_path, GOOD, HARMLESS)
    environment = {"HELIOSTAT_RELEASES_DIR": str(tmp_path)}
    with running_farm(environment, cpu_cards=CARDS, seconds_per_chunk=0.4) as farm:
        yield Work(farm, CARDS, chunks=3)


def test_one_card_first_then_back_or_on_and_no_clip_notices(work: Work) -> None:
    farm = work.farm
    farm.cli("upgrade", BAD)
    bad = work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_BACK, "returned")
    (canary,) = bad.cards
    assert canary.card_id in bad.reason
    assert f"{canary.psnr_db:.1f} dB" in bad.reason
    assert releases(farm) == {NOW: CARDS}
    work.goes_on(canary.card_id)

    farm.cli("upgrade", GOOD, "--at-once", "3")
    good = work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_WAITING)
    first = next(card for card in good.cards if card.canary)
    assert (first.equal, first.HasField("psnr_db")) == (True, False)
    assert first.stack_before != first.stack_after
    kill_one_of_each(farm)
    work.goes_on(first.card_id)
    work.wait_for("agents again", lambda: releases(farm) == {NOW: 3, GOOD: 1})
    assert farm.client.rollout().state == fleet_pb.ROLLOUT_STATE_WAITING, "it waits for a person"

    farm.cli("rollout", "accept")
    work.wait_for_rollout(fleet_pb.ROLLOUT_STATE_DONE)
    assert releases(farm) == {GOOD: CARDS}
    for card in farm.client.cards():
        work.goes_on(card.card_id)
    work.check_that_nothing_is_lost(cards=True)
    stacks = work.check_that_none_is_of_two(
        lambda take: take.stack_id, lambda card: (card.stack_before, card.stack_after)
    )
    assert stacks == {first.stack_before, first.stack_after}


def releases(farm: RealFarm) -> dict[str, int]:
    """How many cards run which."""
    found = [card.release for card in farm.client.cards()]
    return {release: found.count(release) for release in found}


def kill_one_of_each(farm: RealFarm) -> None:
    """An agent of the old release and one of the new one die in mid-render."""
    agents = {GOOD in child.cmdline()[0]: child.ppid() for child in farm.processes("child")}
    assert set(agents) == {False, True}
    for agent in agents.values():
        os.kill(agent, signal.SIGKILL)
