"""Every fault strikes, and none of them costs more than time."""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState
from farm.sim.faults import BadFaults, Faults, parse_faults
from tests.sim.conftest import Simulate

HARMLESS = {
    "card-death": "60/h",
    "card-freeze": "60/h",
    "card-twin": "60/h",
    "node-death": "60/h",
    "partition": "60/h",
    "coordinator-restart": "600/h",
    "clock-step": "600/h",
    "lost-request": "10%",
    "lost-reply": "10%",
    "late": "5%",
    "duplicate": "20%",
    "commit-error": "10%",
    "upload-again": "20%",
    "node": "5%",
    "oom": "5%",
    "storage": "5%",
    "stall": "3%",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_fault_strikes_and_every_clip_is_delivered(simulate: Simulate, name: str) -> None:
    outcome, _ = simulate(failures=f"{name}={HARMLESS[name]}", frames=[132] * 24, quiet_after=300.0)
    assert outcome.record.counts[name.replace("-", " ")] > 0
    assert outcome.finished
    assert outcome.problems == []
    assert outcome.states == {ClipState.DONE: 24}


def test_poison_clips_fail_alone_and_say_why(simulate: Simulate) -> None:
    """Two cards find the clip itself at fault, then it is given up; all others are delivered."""
    outcome, _ = simulate(failures="poison=20%", frames=[66] * 30)
    assert outcome.finished
    assert outcome.problems == []
    failed = outcome.states[ClipState.FAILED]
    assert 0 < failed < 15
    assert outcome.states[ClipState.DONE] == 30 - failed
    assert outcome.record.counts["attempts failed"] == 2 * failed


def test_slow_cards_take_three_times_as_long(simulate: Simulate) -> None:
    usual, _ = simulate(cards="1xfast", frames=[330] * 4)
    slow, _ = simulate(cards="1xfast", frames=[330] * 4, failures="slow=100%")
    assert slow.busy_seconds == pytest.approx(3 * usual.busy_seconds, rel=0.02)


def test_failures_are_written_as_rates_and_shares() -> None:
    found = parse_faults(" card-death=36/h, partition=24/d,input=2%,late=0.5 ")
    assert found == Faults(card_death=0.01, partition=24 / 86_400, input=0.02, late=0.5)
    assert parse_faults("") == Faults()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("card-deth=1/h", "did you mean card-death"),
        ("card-death", "NAME=VALUE"),
        ("card-death=1", "write it per hour"),
        ("card-death=1%", "write it per hour"),
        ("card-death=1/s", "write it per hour"),
        ("input=1/h", "it is a share"),
        ("input=101%", "at most 100%"),
        ("input=-1%", "it is a share"),
        ("input=1%,input=2%", "given twice"),
        ("=1%", "without a name"),
    ],
)
def test_a_failure_that_is_not_understood_says_how_to_write_it(text: str, said: str) -> None:
    with pytest.raises(BadFaults, match=said):
        parse_faults(text)
