"""What the rules of the plan come to over hours: no card idles, shares are fair, batches end
together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from farm.domain.batch import Batch
from farm.domain.clip import Clip, Work
from farm.domain.fleet import CardFacts
from farm.plan.deadline import finish_bound
from farm.sim.plan_alone import PlanAlone

WORK = Work(384, 640)
CHUNK_SECONDS = 20.0
"""On a card of speed 1."""
TICK_SECONDS = 2.0


def new_cards(speeds: Sequence[float]) -> list[CardFacts]:
    return [
        CardFacts(card_id=f"card-{i:03}", card_type=f"{speed:g}x", pace=CHUNK_SECONDS / speed)
        for i, speed in enumerate(speeds)
    ]


def new_batch(name: str, chunks: Sequence[int], project: str = "p", priority: int = 0):
    batch = Batch(batch_id=name, name=name, project=project, priority=priority, created_at=0.0)
    clips = [
        Clip(clip_id=f"{name}-{i:05}", batch_id=name, ordinal=i, frames=33 * n, work=WORK)
        for i, n in enumerate(chunks, 1)
    ]
    return batch, clips


def plan_of(cards, *batches, **more):
    return PlanAlone(
        cards,
        [(at, *new) for at, new in batches],
        cost=lambda _work: 1.0,
        tick_seconds=TICK_SECONDS,
        **more,
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_mixed_fleet_ends_uneven_clips_within_5_per_cent_of_the_bound(seed: int) -> None:
    dice = random.Random(seed)
    cards = new_cards([dice.choice([1.0, 2.0, 5.0]) for _ in range(dice.randint(5, 12))])
    chunks = [dice.randint(5, 60) for _ in range(12 * len(cards))]
    tally = plan_of(cards, (0.0, new_batch("b", chunks))).run()
    assert tally.done == len(chunks)
    bound = finish_bound(chunks, [card.pace for card in cards])
    assert bound <= tally.finish * (1 + 1e-9)
    assert tally.finish <= 1.05 * bound


def test_no_card_idles_while_clips_wait() -> None:
    """Deaths apart: of all card seconds less than 2% go by without rendering."""
    cards = new_cards([1.0, 2.0, 5.0] * 10)
    hour = new_batch("b", [20] * 2000)
    tally = plan_of(cards, (0.0, hour)).run(until=3600.0)
    # What is in render at the end is not counted yet: 20 chunks at most on each card.
    busy = tally.busy + sum(20 * card.pace for card in cards) / 2
    assert busy / (3600 * len(cards)) > 0.98


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (1.0, 1.0, 2.0)])
def test_projects_get_their_shares_within_2_per_cent_over_an_hour(weights) -> None:
    cards = new_cards([1.0] * 20)
    names = [f"p{i}" for i in range(len(weights))]
    batches = [(0.0, new_batch(f"b{name}", [3] * 4000, project=name)) for name in names]
    shares = dict(zip(names, weights, strict=True))
    tally = plan_of(cards, *batches, weights=shares).run(until=3600.0)
    done = sum(tally.done_units.values())
    for name, weight in shares.items():
        assert tally.done_units[name] / done == pytest.approx(weight / sum(weights), abs=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_a_late_deadline_holds_whenever_it_could(seed: int) -> None:
    """It could if the batch ends in time alone on the fleet, begun after a tick and the chunks in
    render, twice: as it comes, and when its last clips go to faster cards."""
    dice = random.Random(seed)
    speeds = [dice.choice([1.0, 2.0, 5.0]) for _ in range(dice.randint(3, 8))]
    cards = new_cards(speeds)
    chunks = [dice.randint(1, 20) for _ in range(dice.randint(3, 20))]
    at = dice.uniform(100.0, 2000.0)
    patience = 2 * (TICK_SECONDS + CHUNK_SECONDS / min(speeds))
    alone = plan_of(cards, (at + patience, new_batch("due", chunks))).run().finish
    for deadline in (alone + dice.uniform(0.0, 60.0), alone + dice.uniform(600.0, 3000.0)):
        others = new_batch("others", [dice.randint(10, 60) for _ in range(200)])
        due, clips = new_batch("due", chunks)
        late = (replace(due, deadline=deadline), clips)
        tally = plan_of(cards, (0.0, others), (at, late)).run(until=deadline + 600)
        assert tally.finish_by_batch["due"] <= deadline, f"seed {seed}"


def test_deaths_cost_time_and_no_clip() -> None:
    cards = new_cards([1.0, 2.0, 5.0] * 5)
    chunks = [10] * 300
    tally = plan_of(cards, (0.0, new_batch("b", chunks)), deaths_per_second=2 / 3600, seed=3).run()
    assert tally.deaths > 5
    assert (tally.done, tally.failed) == (300, 0)


def test_a_higher_priority_gets_its_cards_within_a_chunk() -> None:
    cards = new_cards([1.0] * 4)
    low = new_batch("low", [100] * 8)
    high = new_batch("high", [5] * 4, priority=5)
    tally = plan_of(cards, (0.0, low), (300.0, high)).run()
    assert tally.yields >= 4
    assert tally.finish_by_batch["high"] <= 300 + TICK_SECONDS + CHUNK_SECONDS * (1 + 5) + 1
