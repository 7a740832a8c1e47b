"""Rollouts, their cards, and what clips began with come back as they were written."""

from __future__ import annotations

from dataclasses import replace

from farm.domain.clip import ChunkRecorded, Finished
from farm.domain.ledger import Commit
from farm.domain.rollout import RolloutState, Step
from tests.fixtures.ledger import LEASE, Farm, new_clip
from tests.fixtures.ledger_rows import CARD, CHANGED, ROLLOUT


def test_a_rollout_and_its_cards_come_back_as_they_were_last_written(farm: Farm) -> None:
    farm.commit(Commit(rollouts=[ROLLOUT], rollout_cards=[replace(CHANGED, step=Step.NEXT)]))
    later = replace(ROLLOUT, number=2, unattended=True, at_once=3, source="hub:a/b", name="x")
    waiting = ROLLOUT.moved(RolloutState.WAITING, 9.0)
    farm.commit(Commit(rollouts=[waiting, later], rollout_cards=[CHANGED]))
    other = replace(CHANGED, number=2, card_id="d", psnr_db=None, equal=True)
    farm.commit(Commit(rollout_cards=[other]))
    for side in (farm.store, farm.ledger):
        assert side.rollouts() == [waiting, later]
        assert side.rollout_cards() == [CHANGED, other]
        assert side.rollout_cards(2) == [other]


def test_what_a_cards_node_could_run_comes_back(farm: Farm) -> None:
    farm.commit(Commit(cards=[CARD]))
    (card,) = farm.store.cards()
    assert (card.release, card.releases) == (CARD.release, CARD.releases)


def test_a_clip_is_bound_by_its_first_chunk_and_by_no_later_one(farm: Farm) -> None:
    (clip,) = farm.submit(new_clip(1, frames=66))
    assert (clip.begun_model, clip.begun_stack) == ("", "")
    clip = farm.move(clip, LEASE, ChunkRecorded(0, "m1", "s1"))
    (again,) = farm.store.clips_in_memory("b1")
    assert (again.begun_model, again.begun_stack) == ("m1", "s1")
    clip = farm.move(clip, ChunkRecorded(1, "m2", "s2"), Finished())
    done = farm.store.clip(clip.clip_id)
    assert done is not None
    assert (done.begun_model, done.begun_stack) == ("m1", "s1")
