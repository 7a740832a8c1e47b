"""Rollouts by the plan alone: cards that do what they like, and what must hold whatever they do."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.domain.rollout import (
    LOCKED,
    ROLLOUTS,
    STEPS,
    Kind,
    Rollout,
    RolloutState,
    Step,
)
from farm.plan.policy import Policy
from farm.plan.rollout import Examined, Seen, begin, canaries, look

OLD, NEW = "1", "2"
CARDS = tuple(f"card-{n}" for n in range(4))
POLICY = Policy()
BACKWARD = (Step.LEAVING, Step.RETURNING, Step.CHECKING, Step.RETURNED)

cards = st.sampled_from(CARDS)


class Rolling(RuleBasedStateMachine):
    """Cards that heed what they are told, or die, fail and fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = {i: Seen(card_id=i, runs=OLD, stack_id="a", examination=1) for i in CARDS}
        self.rollout = Rollout(number=1, kind=Kind.RELEASE, target=NEW, at_once=2)
        (first,) = canaries(Kind.RELEASE, NEW, self.fleet.values(), 1)
        self.canary = first.card_id
        self.changes = {self.canary: begin(self.rollout, first, 0, canary=True)}
        self.accepted = False
        self.number = 1

    @rule(times=st.integers(1, 5))
    def look(self, times: int) -> None:
        for _ in range(times):
            found = look(self.rollout, self.changes, self.fleet, POLICY, 0.0)
            if found.rollout.state is not self.rollout.state:
                assert found.rollout.state in ROLLOUTS[self.rollout.state]
            for change in found.changes:
                before = self.changes.get(change.card_id)
                if before is not None:
                    assert change.step in STEPS[before.step], (before.step, change.step)
                seen = self.fleet[change.card_id]
                if change.step in (Step.DRAINING, Step.PREPARING):
                    assert not seen.needed
                if change.step in (Step.PREPARING, Step.RETURNING) and seen.silent == 0:
                    assert not seen.holds
                self.changes[change.card_id] = change
                self.fleet[change.card_id] = replace(seen, seconds=0.0)
            self.rollout = found.rollout

    @rule(card=cards)
    def heed(self, card: str) -> None:
        """A card does what its step asks for."""
        seen, change = self.fleet[card], self.changes.get(card)
        if change is None or not seen.here:
            return
        if change.step is Step.PREPARING:
            seen = replace(seen, ready_for=NEW)
        elif change.step is Step.SWITCHING:
            seen = replace(seen, runs=NEW, stack_id="b")
        elif change.step is Step.RETURNING:
            seen = replace(seen, runs=OLD, stack_id="a")
        elif change.step in (Step.EXAMINING, Step.CHECKING):
            told = Examined(number=change.examination, passed=True, psnr_db=50.0)
            seen = replace(seen, examined=told, examination=change.examination + 1)
        self.fleet[card] = replace(seen, holds=0)

    @rule(card=cards)
    def fail(self, card: str) -> None:
        change = self.changes.get(card)
        if change is not None and change.step is Step.EXAMINING:
            told = Examined(number=change.examination, passed=False, detail="wrong")
            seen = self.fleet[card]
            self.fleet[card] = replace(seen, examined=told, examination=change.examination + 1)

    @rule(card=cards, seconds=st.sampled_from([1.0, 700.0, 3000.0]))
    def wait(self, card: str, seconds: float) -> None:
        seen = self.fleet[card]
        silent = seen.silent + (0.0 if seen.here else seconds)
        self.fleet[card] = replace(seen, seconds=seen.seconds + seconds, silent=silent)

    @rule(card=cards)
    def vanish_or_return(self, card: str) -> None:
        seen = self.fleet[card]
        self.fleet[card] = replace(seen, here=not seen.here, silent=0.0)

    @rule(card=cards, needed=st.sampled_from(["", "is the last one"]), holds=st.integers(0, 2))
    def work(self, card: str, needed: str, holds: int) -> None:
        seen, change = self.fleet[card], self.changes.get(card)
        if change is None or change.step not in LOCKED:
            self.fleet[card] = replace(seen, holds=holds, needed=needed)
        else:
            self.fleet[card] = replace(seen, needed=needed)

    @precondition(lambda self: self.rollout.state is RolloutState.WAITING)
    @rule()
    def accept(self) -> None:
        self.rollout = self.rollout.moved(RolloutState.ROLLING, 0)
        self.accepted = True

    @precondition(
        lambda self: (
            self.rollout.reason and self.rollout.state in (RolloutState.ROLLING, RolloutState.DONE)
        )
    )
    @rule()
    def accept_again(self) -> None:
        self.rollout = replace(self.rollout, reason="")

    @precondition(lambda self: self.rollout.state is not RolloutState.BACK)
    @rule()
    def go_back(self) -> None:
        self.rollout = self.rollout.moved(RolloutState.BACK, 0)

    @invariant()
    def only_the_canary_is_touched_before_it_is_accepted(self) -> None:
        if not self.accepted:
            assert set(self.changes) == {self.canary}

    @invariant()
    def no_more_than_were_asked_for_are_changed_together(self) -> None:
        forward = [c for c in self.changes.values() if c.step in LOCKED and c.step not in BACKWARD]
        assert len(forward) <= 2

    @invariant()
    def no_card_forgets_what_it_ran(self) -> None:
        assert all(change.before == OLD for change in self.changes.values())

    def teardown(self) -> None:
        """Left alone, cards that heed come to an end: all on one side."""
        for card, seen in self.fleet.items():
            self.fleet[card] = replace(seen, here=True, silent=0.0, needed="", seconds=0.0)
        for _ in range(60):
            self.look(1)
            if self.rollout.state is RolloutState.WAITING:
                self.accept()
            if self.rollout.reason and self.rollout.state is not RolloutState.BACK:
                self.rollout = replace(self.rollout, reason="")
            for card in CARDS:
                self.heed(card)
        on = {seen.runs for seen in self.fleet.values()}
        assert on == ({OLD} if self.rollout.state is RolloutState.BACK else {NEW})


TestRolling = Rolling.TestCase
TestRolling.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
