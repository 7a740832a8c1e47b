"""What the simulated farm promises: the same again from a seed, and the times of REL-3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from farm.domain.clip import ClipState, EventKind
from farm.domain.ledger import EventRow
from farm.sim.fleet import BadCards, parse_cards
from farm.store import open_ledger
from tests.sim.conftest import Simulate

ROUGH = "card-death=10/h,lost-reply=5%,oom=3%,coordinator-restart=20/h,commit-error=3%"


def history(path: Path) -> Sequence[EventRow]:
    ledger = open_ledger(path)
    try:
        return ledger.events(after=0, limit=100_000)
    finally:
        ledger.close()


def test_the_same_seed_gives_the_same_history(simulate: Simulate) -> None:
    one, two, other = (simulate(failures=ROUGH, seed=seed)[1] for seed in (5, 5, 6))
    assert history(one) == history(two)
    assert history(one) != history(other)


def test_a_card_takes_as_long_as_its_chunks(simulate: Simulate) -> None:
    """Uploads and messages hide behind rendering: what is left is the start and the last take."""
    outcome, _ = simulate(cards="1xfast", frames=[330] * 20)
    assert outcome.states == {ClipState.DONE: 20}
    assert outcome.record.counts["chunks rendered"] == 200
    work = outcome.busy_seconds
    assert work <= outcome.finish_seconds < 1.2 * work


def test_a_killed_cards_clip_runs_elsewhere_within_a_minute(simulate: Simulate) -> None:
    outcome, path = simulate(
        cards="6xfast", frames=[660] * 30, failures="card-death=20/h", quiet_after=200.0
    )
    events = history(path)
    losses = [event for event in events if event.kind == EventKind.LOST]
    assert outcome.record.counts["death"] > 0
    assert losses
    deaths = {at for at, _, what in outcome.record.marks if what == "death"}
    began = events[0].at
    for loss in losses:
        assert min(abs(loss.at - began - at) for at in deaths) < 60


def test_a_restarted_coordinator_takes_no_lease_back(simulate: Simulate) -> None:
    outcome, path = simulate(frames=[660] * 20, failures="coordinator-restart=200/h")
    assert outcome.epoch > 3
    assert outcome.states == {ClipState.DONE: 20}
    assert not [event for event in history(path) if event.kind == EventKind.LOST]


def test_a_replaced_coordinator_writes_nothing_more(simulate: Simulate) -> None:
    """The old one is reached for a while; the epochs of the events never go back (REL-2)."""
    outcome, path = simulate(frames=[660] * 20, failures="coordinator-restart=200/h")
    assert outcome.record.counts["writes fenced"] > 0
    epochs = [event.epoch for event in history(path)]
    assert epochs == sorted(epochs)
    assert epochs[-1] > epochs[0]


def test_a_resumed_clip_renders_no_recorded_chunk_again(simulate: Simulate) -> None:
    """A kill costs the chunk in render and those on their way, per death (REL-5)."""
    outcome, _ = simulate(
        cards="4xfast", frames=[660] * 16, failures="card-death=20/h", quiet_after=200.0
    )
    again = outcome.record.counts["chunks rendered"] - 16 * 20
    assert outcome.record.counts["death"] > 0
    assert 0 <= again <= 2 * outcome.record.counts["death"]


def test_a_fleet_is_written_by_type() -> None:
    plan = parse_cards("62xRTX-4060-Ti, h100")
    assert [(number, card.name) for number, card in plan.cards] == [
        (62, "rtx-4060-ti"),
        (1, "h100"),
    ]
    assert plan.speeds == "estimated"
    assert parse_cards("2xmine", {"mine": 3.5}).speeds == "measured"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no cards"),
        ("62xrtx-4060", "no card type known here"),
        ("62 rtx-4060-ti", "no number of cards"),
        ("0xh100", "at least one card"),
        ("999999xh100", "at most 100000"),
    ],
)
def test_a_fleet_that_is_not_understood_says_how_to_write_it(text: str, said: str) -> None:
    with pytest.raises(BadCards, match=said):
        parse_cards(text)
