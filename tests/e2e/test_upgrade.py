"""A farm at work is brought to another release: to one card first, and on, or back.

Four test cards render all the time. The releases are real environments with another copy of
`node_agent`: one renders wrongly, one has another stack id and the same pictures.
"""

from __future__ import annotations

import json
import os
import signal
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from farm.domain.clip import ClipState, EventKind
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from node_agent.releases.catalog import running_release
from tests.fixtures.farm import RealFarm, running_farm
from tests.fixtures.oracle import check_farm
from tests.fixtures.release import HARMLESS, WRONG, make_release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CARDS = 4
CLIPS = 12
"""Of a batch; there is always another."""
NOW, BAD, GOOD = running_release(), "0.2.0", "0.2.1"


class Work:
    """Batches that follow each other, so that no card is ever without a clip."""

    def __init__(self, farm: RealFarm) -> None:
        self.farm = farm
        self.batches: list[str] = []

    def go_on(self) -> None:
        """Submit the next batch when the last one has begun."""
        if self.batches:
            clips = self.farm.ledger.progress([self.batches[-1]])[self.batches[-1]].clips
            if clips.get(ClipState.QUEUED, 0) > CARDS:
                return
        number = len(self.batches)
        rows = [
            {
                "id": f"shot {number} {n}",
                "prompt": "a lighthouse",
                "frames": str(33 * (3 + n % 4)),
                "size": "64x64",
                "seed": str(n),
            }
            for n in range(CLIPS)
        ]
        self.batches.append(self.farm.submit(rows, f"night {number}"))

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        """Wait, while the work goes on."""

        def met() -> Any:
            self.go_on()
            return condition()

        return self.farm.wait_for(what, met)

    @property
    def chunks(self) -> list[tuple[float, str, str]]:
        """When each chunk was recorded, of which clip, by which card."""
        return [
            (event.at, event.clip_id, event.card_id)
            for batch_id in self.batches
            for event in self.farm.events(batch_id)
            if event.kind == EventKind.CHUNK
        ]

    def stacks(self) -> dict[str, set[str]]:
        """By clip: stack ids of its takes."""
        return {
            row.clip.clip_id: {row.take.stack_id}
            for batch_id in self.batches
            for row in self.farm.clips(batch_id)
            if row.take is not None
        }


@contextmanager
def at_work(releases: Path, **options: str | float) -> Iterator[Work]:
    """A farm whose cards never stop."""
    environment = {"HELIOSTAT_RELEASES_DIR": str(releases)}
    with running_farm(environment, cpu_cards=CARDS, **options) as farm:
        yield Work(farm)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    make_release(tmp_path, BAD, WRONG)
    make_release(tmp_path, GOOD, HARMLESS)
    with at_work(tmp_path, seconds_per_chunk=0.4) as work:
        yield work


def test_one_card_first_then_back_or_on_and_no_clip_notices(work: Work) -> None:
    farm = work.farm
    farm.cli("upgrade", BAD)
    work.wait_for("the way back", lambda: goes_back(shown(farm)) and settled(shown(farm)))
    bad = shown(farm)
    (canary,) = bad.cards
    assert "dB" in bad.reason, bad.reason
    assert canary.card_id in bad.reason
    assert canary.step == fleet_pb.ROLLOUT_STEP_RETURNED
    assert {card.release for card in farm.client.cards()} == {NOW}
    works_on(work, canary.card_id)

    farm.cli("upgrade", GOOD, "--at-once", "3")
    work.wait_for(
        "a canary that passed", lambda: shown(farm).state == fleet_pb.ROLLOUT_STATE_WAITING
    )
    good = shown(farm)
    first = next(card for card in good.cards if card.canary)
    assert (first.equal, first.HasField("psnr_db")) == (True, False)
    assert first.stack_before != first.stack_after
    works_on(work, first.card_id)
    assert releases(farm) == {NOW: 3, GOOD: 1}, "it waits for a person"
    kill_one_of_each(farm)
    works_on(work, first.card_id)
    assert shown(farm).state == fleet_pb.ROLLOUT_STATE_WAITING
    assert releases(farm) == {NOW: 3, GOOD: 1}

    farm.cli("rollout", "accept")
    work.wait_for("the other cards", lambda: shown(farm).state == fleet_pb.ROLLOUT_STATE_DONE)
    assert releases(farm) == {GOOD: CARDS}
    for card in farm.client.cards():
        works_on(work, card.card_id)
    nothing_is_lost(work)
    one_stack_for_each_clip(work, {first.stack_before, first.stack_after})


def shown(farm: RealFarm) -> fleet_pb.Rollout:
    """The latest rollout."""
    return farm.client.rollout()


def goes_back(rollout: fleet_pb.Rollout) -> bool:
    return rollout.state == fleet_pb.ROLLOUT_STATE_BACK


def settled(rollout: fleet_pb.Rollout) -> bool:
    """Every card of it runs again what it ran."""
    return all(card.step == fleet_pb.ROLLOUT_STEP_RETURNED for card in rollout.cards)


def releases(farm: RealFarm) -> dict[str, int]:
    """How many cards run which."""
    found = [card.release for card in farm.client.cards()]
    return {release: found.count(release) for release in found}


def works_on(work: Work, card_id: str) -> None:
    """A card renders from now on."""
    before = sum(card == card_id for _, _, card in work.chunks)
    work.wait_for(
        f"chunks of {card_id}",
        lambda: sum(card == card_id for _, _, card in work.chunks) > before + 2,
    )


def kill_one_of_each(farm: RealFarm) -> None:
    """An agent of the old release and one of the new one die in mid-render."""
    found: dict[bool, int] = {}
    for child in farm.processes("child"):
        found[GOOD in child.cmdline()[0]] = child.ppid()
    assert set(found) == {False, True}
    for agent in found.values():
        os.kill(agent, signal.SIGKILL)


def nothing_is_lost(work: Work) -> None:
    """Every clip of every batch is done, and what was delivered is what the ledger says."""
    for batch_id in work.batches:
        work.farm.wait_until_ended(batch_id)
        verdict = check_farm(work.farm, batch_id, submitted=CLIPS)
        assert verdict.states == {ClipState.DONE: CLIPS}


def one_stack_for_each_clip(work: Work, stacks: set[str]) -> None:
    """By what its card had when each chunk was recorded, and by what its take says."""
    changes = {card.card_id: stack_changes(work.farm, card.card_id) for card in cards_of(work)}
    of_takes = work.stacks()
    made_of: dict[str, set[str]] = {}
    for at, clip_id, card_id in work.chunks:
        times, had = changes[card_id]
        made_of.setdefault(clip_id, set()).add(had[bisect(times, at)])
    assert {stack for clip in made_of.values() for stack in clip} == stacks
    assert made_of == of_takes


def cards_of(work: Work) -> list[fleet_pb.RolloutCard]:
    return list(shown(work.farm).cards)


def stack_changes(farm: RealFarm, card_id: str) -> tuple[list[float], list[str]]:
    """When a card was changed for good, and its stacks before, between and after."""
    (of_card,) = (card for card in shown(farm).cards if card.card_id == card_id)
    events = farm.ledger.fleet_events(card_id, limit=1000)
    changed = [row.at for row in events if row.event.detail.split(": ")[-1].startswith("changed")]
    assert len(changed) == 1, [json.dumps(row.event.detail) for row in events]
    return changed, [of_card.stack_before, of_card.stack_after]
