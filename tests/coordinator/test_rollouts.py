"""A release comes to one card first, is compared, is accepted, and comes to all; or goes back."""

from __future__ import annotations

import pytest

from farm.domain.errors import BadDecision, NotFound
from farm.domain.rollout import Step
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import Ground
from tests.coordinator.rolling import (
    NEW,
    OLD,
    STACKS,
    RollingCard,
    accept,
    back,
    begin,
    fleet_of,
    pass_time,
    reason,
    runs,
    state,
    steps,
)

# What is written is the same in both databases; tests/store reads it back from either.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class TestForward:
    def test_a_harmless_release_waits_on_its_canary_and_comes_to_all_once_it_is_accepted(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 3)
        begin(ground)
        pass_time(ground, cards, 10)
        assert state(ground) == "waiting"
        assert runs(cards) == [NEW, OLD, OLD]
        (change,) = ground.coordinator.store.rollout_cards(1)
        assert (change.psnr_db, change.equal) == (51.5, False)
        assert (change.stack_before, change.stack_after) == (
            "torch-2.13,exact", "torch-2.14,exact",
        )  # fmt: skip
        pass_time(ground, cards, 40)
        assert runs(cards) == [NEW, OLD, OLD], "a person decides"
        accept(ground)
        pass_time(ground, cards, 20)
        assert state(ground) == "done"
        assert runs(cards) == [NEW, NEW, NEW]
        assert [card.starts for card in cards] == [2, 2, 2]

    def test_one_card_is_changed_at_a_time_unless_more_are_asked_for(self, ground: Ground) -> None:
        cards = fleet_of(ground, 5)
        begin(ground, canary=1, at_once=2)
        pass_time(ground, cards, 10)
        accept(ground)
        most = 0
        for _ in range(30):
            pass_time(ground, cards, 1)
            locked = [card for card in cards if card.view.standing == types_pb.STANDING_LOCKED]
            most = max(most, len(locked))
        assert (most, state(ground)) == (2, "done")

    @pytest.mark.parametrize(("psnr", "after"), [(None, "done"), (51.5, "waiting")])
    def test_unattended_it_accepts_the_same_bytes_of_the_same_stack_by_itself(
        self, ground: Ground, psnr: float | None, after: str
    ) -> None:
        stacks = {OLD: "torch,exact", NEW: "torch,exact" if psnr is None else "torch-2,exact"}
        cards = fleet_of(ground, 2, stacks=stacks, psnr_db=psnr)
        begin(ground, unattended=True)
        pass_time(ground, cards, 25)
        assert state(ground) == after

    def test_named_cards_begin(self, ground: Ground) -> None:
        cards = fleet_of(ground, 4)
        begin(ground, cards=["card-2", "card-1"])
        pass_time(ground, cards, 10)
        assert runs(cards) == [OLD, NEW, NEW, OLD]

    def test_a_card_that_joins_later_is_changed_too(self, ground: Ground) -> None:
        cards = fleet_of(ground, 1)
        begin(ground)
        pass_time(ground, cards, 10)
        accept(ground)
        pass_time(ground, cards, 3)
        cards += [RollingCard(ground, "late"), RollingCard(ground, "bare", releases=())]
        pass_time(ground, cards, 15)
        assert runs(cards) == [NEW, NEW, OLD]
        told = ground.coordinator.why("bare")
        assert any("farm-node release add" in text for text in told.because), told


class TestBack:
    def test_a_wrong_picture_stays_on_the_canary_and_goes_back_by_itself(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 3, passes={NEW: False})
        begin(ground)
        pass_time(ground, cards, 15)
        assert state(ground) == "back"
        assert "12.0 dB" in reason(ground)
        assert runs(cards) == [OLD, OLD, OLD]
        assert steps(ground) == {"card-0": "returned"}
        assert [card.starts for card in cards] == [3, 1, 1]
        ground.submit(3)
        pass_time(ground, cards, 2)
        assert all(card.clips for card in cards), "it works on"

    def test_a_card_that_went_back_is_the_canary_of_the_release_after_it(
        self, ground: Ground
    ) -> None:
        later = "0.3.0"
        stacks = {**STACKS, later: "torch-2.15,exact"}
        cards = fleet_of(ground, 2, releases=(NEW, later), passes={NEW: False}, stacks=stacks)
        begin(ground)
        pass_time(ground, cards, 15)
        assert state(ground) == "back"
        begin(ground, later)
        pass_time(ground, cards, 15)
        assert state(ground, 2) == "waiting"
        assert runs(cards) == [later, OLD]

    def test_the_same_stack_with_another_picture_is_wrong_however_near_it_is(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 1, stacks={OLD: "torch,exact", NEW: "torch,exact"})
        begin(ground)
        pass_time(ground, cards, 15)
        assert state(ground) == "back"
        assert "51.5 dB" in reason(ground)

    def test_a_release_whose_agent_never_speaks_goes_back_by_itself(self, ground: Ground) -> None:
        cards = fleet_of(ground, 2, broken=frozenset({NEW}))
        begin(ground)
        pass_time(ground, cards, 10)
        assert (state(ground), cards[0].release) == ("canary", NEW)
        pass_time(ground, cards, 70, step=10.0)
        assert state(ground) == "back"
        assert "did not come back with 0.2.0" in reason(ground)
        assert runs(cards) == [OLD, OLD]
        assert steps(ground) == {"card-0": "returned"}

    def test_a_release_whose_agent_keeps_dying_goes_back_by_itself(self, ground: Ground) -> None:
        cards = fleet_of(ground, 2, broken=frozenset({NEW}))
        begin(ground)
        pass_time(ground, cards, 6)
        for n in range(4):
            assert state(ground) == "canary"
            ground.coordinator.lost("card-0", f"never heard {n}", "its agent died")
            pass_time(ground, cards, 1)
        pass_time(ground, cards, 3)
        assert state(ground) == "back"
        assert "died 4 times" in reason(ground)
        assert runs(cards) == [OLD, OLD]

    def test_a_canary_that_falls_silent_before_it_was_changed_ends_the_rollout(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 2)
        ground.submit(1)
        pass_time(ground, cards, 1)
        begin(ground, cards=["card-0"])
        cards[0].silent = True
        pass_time(ground, cards, 65, step=10.0)
        assert state(ground) == "back"
        assert steps(ground) == {"card-0": "left"}

    def test_one_command_brings_all_cards_back(self, ground: Ground) -> None:
        cards = fleet_of(ground, 3)
        begin(ground)
        pass_time(ground, cards, 10)
        accept(ground)
        pass_time(ground, cards, 20)
        assert state(ground) == "done"
        back(ground)
        pass_time(ground, cards, 15)
        assert runs(cards) == [OLD, OLD, OLD]
        assert set(steps(ground).values()) == {"returned"}

    def test_a_later_card_that_fails_stops_the_others_until_somebody_says_go_on(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 3)
        begin(ground)
        pass_time(ground, cards, 10)
        cards[1].passes = {NEW: False}
        accept(ground)
        pass_time(ground, cards, 30)
        assert runs(cards) == [NEW, OLD, OLD]
        assert state(ground) == "rolling"
        assert "card-1" in reason(ground)
        cards[1].passes = {}
        accept(ground)
        pass_time(ground, cards, 30)
        assert runs(cards) == [NEW, NEW, NEW]
        assert state(ground) == "done"

    def test_a_card_that_fails_with_what_it_ran_before_is_in_quarantine(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 2, passes={NEW: False, OLD: False})
        begin(ground)
        pass_time(ground, cards, 15)
        assert runs(cards) == [OLD, OLD]
        assert cards[0].view.standing == types_pb.STANDING_QUARANTINED

    def test_a_card_that_leaves_in_mid_change_stops_nobody_and_is_changed_when_it_is_back(
        self, ground: Ground
    ) -> None:
        cards = fleet_of(ground, 3)
        begin(ground)
        pass_time(ground, cards, 10)
        ground.submit(3, frames=330)
        pass_time(ground, cards, 1)
        accept(ground)
        pass_time(ground, cards, 2)
        _, busy, other = cards
        assert steps(ground)["card-1"] == "draining"
        busy.silent = True
        for _ in range(80):
            pass_time(ground, cards, 1, step=10.0)
            other.finish()
        assert state(ground) == "done"
        assert steps(ground)[busy.card_id] == "left"
        busy.silent = False
        pass_time(ground, cards, 15)
        assert runs(cards) == [NEW, NEW, NEW]


class TestRestarts:
    def test_a_coordinator_that_dies_at_any_step_goes_on(self, ground: Ground) -> None:
        cards = fleet_of(ground, 2)
        ground.submit(2, frames=66)
        pass_time(ground, cards, 1)
        begin(ground)
        died_at = set(steps(ground).items())
        ground.restart()

        def live(seconds: int) -> None:
            for _ in range(seconds):
                for card in cards:
                    card.live()
                    if card.voice.held and len(died_at) > 1:
                        card.finish()
                ground.tick()
                now = set(steps(ground).items())
                if now - died_at:
                    died_at.update(now)
                    ground.restart()

        live(20)
        assert state(ground) == "waiting"
        accept(ground)
        ground.restart()
        live(20)
        assert (state(ground), runs(cards)) == ("done", [NEW, NEW])
        back(ground)
        ground.restart()
        live(20)
        assert runs(cards) == [OLD, OLD]
        assert {step for _, step in died_at} == {each.value for each in Step} - {"left"}
        assert ground.states() == {"done": 2}

    def test_what_is_waited_for_counts_anew_after_a_restart(self, ground: Ground) -> None:
        cards = fleet_of(ground, 1, broken=frozenset({NEW}))
        begin(ground)
        pass_time(ground, cards, 50, step=10.0)
        ground.restart()
        pass_time(ground, cards, 50, step=10.0)
        assert state(ground) == "canary"
        pass_time(ground, cards, 20, step=10.0)
        assert state(ground) == "back"


class TestRefusals:
    def test_each_says_what_helps(self, ground: Ground) -> None:
        def refused(match: str, **more: object) -> None:
            with pytest.raises(BadDecision, match=match):
                begin(ground, **more)  # type: ignore[arg-type]

        refused("no card is here")
        cards = fleet_of(ground, 2)
        refused("`farm-node release add` installs it", target="9.9")
        refused("every card that is here runs release 0.1.0", target=OLD)
        refused("choose --canary 2", canary=3)
        refused("no version", target="not a version")
        refused("3 cards are to begin, and 1 are named", canary=3, cards=["card-0"])
        refused("no model's digest", target="abc", kind=fleet_pb.ROLLOUT_KIND_MODEL)
        refused("names no source", target="ab" * 32, kind=fleet_pb.ROLLOUT_KIND_MODEL)
        with pytest.raises(NotFound, match="did you mean"):
            begin(ground, cards=["card-9"])
        with pytest.raises(NotFound, match="no rollout was ever begun"):
            accept(ground)
        ground.coordinator.lost("card-1", cards[1].voice.incarnation, "gone")
        refused("card card-1 cannot begin: it was last heard of", cards=["card-1"])
        begin(ground)
        refused("`farm rollout back` calls it off")
        with pytest.raises(BadDecision, match="not examined yet"):
            accept(ground)
        pass_time(ground, cards, 10)
        back(ground)
        refused("is still on its way on card-0")
        with pytest.raises(BadDecision, match="nothing to go back from"):
            back(ground)
        pass_time(ground, cards, 10)
        begin(ground)
        with pytest.raises(NotFound, match="no rollout 7"):
            back(ground, 7)

    def test_every_decision_and_step_is_written_down(self, ground: Ground) -> None:
        cards = fleet_of(ground, 1)
        begin(ground)
        pass_time(ground, cards, 10)
        accept(ground)
        pass_time(ground, cards, 2)
        assert ground.ledger is not None
        told = [row.event.detail for row in reversed(ground.ledger.fleet_events("", limit=99))]
        of_card = [text for text in told if text.startswith("rollout 1 of release 0.2.0")]
        assert [text.split(": ")[1].split(",")[0] for text in of_card] == [
            "draining", "preparing", "switching", "examining", "changed",
        ]  # fmt: skip
        rest = [text for text in told if text not in of_card]
        assert rest == ["canary", "waiting", "accepted by ann", "done"]
