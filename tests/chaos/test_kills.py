"""kill -9 of any process in mid-batch: the batch completes as if nothing had happened.

Every kill is aimed at the same batch in the same farm: some chunks are recorded, and both cards
are at work on others. Afterwards the oracle holds, and every MP4 equals the undisturbed one.
"""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState, EventKind
from tests.chaos.conftest import Stage, rendered_in_vain
from tests.fixtures.farm import RealFarm
from tests.fixtures.oracle import Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CHUNKS_BEFORE = 6
"""Recorded before the kill."""
LOST_CHUNKS_MAX = 2
"""The chunk in render and the one in flight."""
AGAIN_SECONDS_MAX = 60.0
"""REL-3: so soon a killed card's clip runs again, where a card is free to take it."""

CARDS_HIT = {"child": 1, "agent": 1, "actors": 2, "ray-workers": 2, "ray": 2}
"""Whose death ends attempts → on how many cards. Any other's costs no card its work."""


@pytest.mark.parametrize(
    "kind",
    [
        "child",
        "agent",
        "coordinator",
        "gateway",
        "actors",
        "ray-workers",
        "store",
        "store-supervisor",
        "ray",
    ],
)
def test_a_kill_in_mid_batch_changes_nothing(stage: Stage, kind: str):
    farm = stage.farm
    batch_id = stage.submit(f"kill {kind}")
    farm.wait_for_chunks(batch_id, CHUNKS_BEFORE)
    at = farm.kill(kind)
    farm.wait_until_ended(batch_id)
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    lost = check_lost_work(farm, verdict, cards_hit=CARDS_HIT.get(kind, 0))
    again = seconds_until_again(verdict, at)
    stage.figures.append(
        f"killed {kind}: ended {verdict.events[-1].at - at:.1f} s later, "
        f"again after {', '.join(f'{s:.1f}' for s in again) or '-'} s, "
        f"{lost} chunks rendered again, {verdict.unreferenced} objects left behind"
    )
    if kind in CARDS_HIT:
        assert again, "the kill hit no clip in render"
    if CARDS_HIT.get(kind) == 1:
        assert max(again) < AGAIN_SECONDS_MAX


def test_everything_is_stopped_and_started_again(stage: Stage):
    """`farm down` and `farm up`: every open batch goes on from where it was."""
    farm = stage.farm
    first, second = stage.submit("stopped, the first"), stage.submit("stopped, the second")
    farm.wait_for_chunks(first, CHUNKS_BEFORE)
    farm.down()
    before = {batch: farm.ledger.progress([batch])[batch].chunks_done for batch in (first, second)}
    assert before[first] > 0
    farm.up()
    for batch_id in (first, second):
        farm.wait_until_ended(batch_id)
    for batch_id in (first, second):
        verdict = stage.check(batch_id)
        assert no_clip_failed(verdict)
        check_lost_work(farm, verdict, cards_hit=2)


def test_the_supervisor_is_killed_and_the_farm_started_again(stage: Stage):
    """What a dead supervisor leaves behind is swept by `farm up`, and the batch goes on."""
    farm = stage.farm
    batch_id = stage.submit("kill supervisor")
    farm.wait_for_chunks(batch_id, CHUNKS_BEFORE)
    farm.kill("supervisor")
    farm.close_client()
    farm.up()
    farm.wait_until_ended(batch_id)
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    check_lost_work(farm, verdict, cards_hit=2)


def no_clip_failed(verdict: Verdict) -> bool:
    return all(event.to_state != ClipState.FAILED for event in verdict.events)


def check_lost_work(farm: RealFarm, verdict: Verdict, *, cards_hit: int) -> int:
    """At most the chunk in render and the one in flight of each card that was hit."""
    vain = rendered_in_vain(farm, verdict)
    names = {verdict.clips[c].name: n for (c, _), n in vain.items()}
    clips = {clip_id for clip_id, _ in vain}
    story = [
        f"{e.at:.1f} {e.clip_id} {e.kind} {e.detail}" for e in verdict.events if e.clip_id in clips
    ]
    assert sum(vain.values()) <= LOST_CHUNKS_MAX * cards_hit, f"rendered again: {names}, {story}"
    return sum(vain.values())


def seconds_until_again(verdict: Verdict, at: float) -> list[float]:
    """From the kill to the next lease of each clip whose attempt it ended, started or not."""
    hit = {
        event.clip_id: event
        for event in reversed(verdict.events)
        if event.kind in (EventKind.LOST, EventKind.FAIL) and event.at >= at
    }
    seconds = []
    for event in hit.values():
        leases = (
            later.at
            for later in verdict.events
            if later.sequence > event.sequence
            and (later.clip_id, later.kind) == (event.clip_id, EventKind.LEASE)
        )
        seconds.append(next(leases) - at)
    return sorted(seconds)
