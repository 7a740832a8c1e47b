"""A rollout: another release or another model for the cards, a few first, then all.

Two small state machines: the rollout's, which a person or a rule decides, and each card's in it.
`ROLLOUTS` and `STEPS` are all that may happen; what is to happen is decided in
`farm.plan.rollout`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from farm.domain.errors import FarmError


class BadRollout(FarmError):
    """A rollout or a card of it was to be moved to where it cannot go from where it is."""

    reason = "BAD_ROLLOUT"


class Kind(StrEnum):
    """What is brought to the cards."""

    RELEASE = "release"
    """A version of Heliostat."""
    MODEL = "model"


class RolloutState(StrEnum):
    """How far a rollout is."""

    CANARY = "canary"
    """The first cards are changed and examined; no other card is touched."""
    WAITING = "waiting"
    """They passed and work; a person is to accept it, or go back."""
    ROLLING = "rolling"
    """Accepted: the others follow, some at a time."""
    DONE = "done"
    """Every card that is here runs it; one that comes later is changed too."""
    BACK = "back"
    """Called off, by a person or by the rule: cards that were changed run again what they ran."""


R = RolloutState

ROLLOUTS: Final = MappingProxyType(
    {
        R.CANARY: frozenset({R.WAITING, R.BACK}),
        R.WAITING: frozenset({R.ROLLING, R.BACK}),
        R.ROLLING: frozenset({R.DONE, R.BACK}),
        R.DONE: frozenset({R.BACK}),
        R.BACK: frozenset[RolloutState](),
    }
)
"""State → those that may follow."""


class Step(StrEnum):
    """Where a card is in a rollout."""

    NEXT = "next"
    """It begins, and works on until its node has what is rolled out and no clip needs what it runs
    now."""
    DRAINING = "draining"
    """It takes no new clips and ends those that it holds."""
    PREPARING = "preparing"
    """It renders the golden chunk with what it runs, to compare with."""
    SWITCHING = "switching"
    """It is to come back with the other release or model."""
    EXAMINING = "examining"
    """It renders the golden chunk with that."""
    CHANGED = "changed"
    """It passed, and works."""
    LEAVING = "leaving"
    """It is to go back, takes no new clips and ends those that it holds."""
    RETURNING = "returning"
    """It is to come back with what it ran before."""
    CHECKING = "checking"
    """It renders the golden chunk with that."""
    RETURNED = "returned"
    """It runs again what it ran before, and is not tried again by itself."""
    LEFT = "left"
    """It fell silent before anything was changed."""


S = Step

STEPS: Final = MappingProxyType(
    {
        S.NEXT: frozenset({S.DRAINING, S.RETURNED, S.LEFT}),
        S.DRAINING: frozenset({S.PREPARING, S.SWITCHING, S.EXAMINING, S.RETURNED, S.LEFT}),
        S.PREPARING: frozenset({S.SWITCHING, S.RETURNING, S.RETURNED}),
        S.SWITCHING: frozenset({S.EXAMINING, S.RETURNING}),
        S.EXAMINING: frozenset({S.CHANGED, S.RETURNING}),
        S.CHANGED: frozenset({S.LEAVING}),
        S.LEAVING: frozenset({S.RETURNING}),
        S.RETURNING: frozenset({S.CHECKING}),
        S.CHECKING: frozenset({S.RETURNED}),
        S.RETURNED: frozenset({S.NEXT, S.DRAINING}),
        S.LEFT: frozenset({S.NEXT, S.DRAINING}),
    }
)
"""Step → those that may follow."""

LOCKED: Final = frozenset(
    {S.DRAINING, S.PREPARING, S.SWITCHING, S.EXAMINING, S.LEAVING, S.RETURNING, S.CHECKING}
)
"""A card takes no new clips."""
HAS_TARGET: Final = frozenset({S.SWITCHING, S.EXAMINING, S.CHANGED, S.LEAVING})
"""A card is to run what is rolled out."""
HAS_BEFORE: Final = frozenset({S.RETURNING, S.CHECKING, S.RETURNED})
"""A card is to run what it ran before."""
SETTLED: Final = frozenset({S.CHANGED, S.RETURNED, S.LEFT})
"""Nothing is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One of them."""

    number: int
    kind: Kind
    target: str
    """A version, or a model's digest."""
    source: str = ""
    """Of a model: what `farm-node model fetch` takes."""
    name: str = ""
    """Of a model: the directory that nodes keep it in."""
    canary: int = 1
    """Cards that begin."""
    at_once: int = 1
    """Cards that are changed at the same time once it is accepted."""
    unattended: bool = False
    """Accepts itself where the canary's stack and bytes are what they were."""
    state: RolloutState = RolloutState.CANARY
    reason: str = ""
    """Why it goes back, or why no further card is changed."""
    started_by: str = ""
    decided_by: str = ""
    """Who accepted it or went back; empty: nobody yet, or the rule."""
    started_at: float = 0.0
    """Unix seconds."""
    changed_at: float = 0.0
    """Unix seconds at which its state last changed."""
    pieces_sha256: str = ""
    """Of a model: its table of pieces, as the first canary that has all of it says."""

    def moved(self, state: RolloutState, at: float, *, reason: str = "", by: str = "") -> Rollout:
        """In another state. Raises `BadRollout` for one that cannot follow."""
        if state not in ROLLOUTS[self.state]:
            raise BadRollout(f"rollout {self.number} is {self.state}: it cannot become {state}")
        return replace(self, state=state, changed_at=at, reason=reason, decided_by=by)

    @property
    def title(self) -> str:
        """`rollout 3 of release 0.2.0`."""
        return f"rollout {self.number} of {self.what(self.target)}"

    def what(self, target: str) -> str:
        """A release or a model in words."""
        return f"{self.kind} {target if self.kind is Kind.RELEASE else target[:12]}"

    def why_locked(self, change: Change) -> str:
        """Why a card of it takes no new clips, as the end of a sentence that begins with it."""
        if change.step in (S.LEAVING, S.RETURNING, S.CHECKING):
            return f"is being changed back to {self.what(change.before)} ({change.step})"
        return f"is being changed to {self.what(self.target)} ({change.step})"

    @property
    def is_open(self) -> bool:
        """It was neither done nor called off."""
        return self.state in (RolloutState.CANARY, RolloutState.WAITING, RolloutState.ROLLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A card in a rollout."""

    number: int
    """The rollout's."""
    card_id: str
    step: Step
    before: str
    """The release or the model's digest that it ran."""
    canary: bool = False
    since: float = 0.0
    """Unix seconds at which the step began."""
    detail: str = ""
    """What the last examination found, or why it goes back."""
    examination: int = 0
    """The number of the last one that was asked for; 0 is none."""
    deaths: int = 0
    """Agents that have died since the card was switched."""
    stack_before: str = ""
    stack_after: str = ""
    psnr_db: float | None = None
    """Against the reference; None where every byte is equal, or nothing could be compared."""
    equal: bool = False

    def moved(self, step: Step, at: float, detail: str | None = None) -> Change:
        """In another step. Raises `BadRollout` for one that cannot follow."""
        if step not in STEPS[self.step]:
            raise BadRollout(
                f"card {self.card_id} is {self.step} in rollout {self.number}: it cannot become "
                f"{step}"
            )
        return replace(
            self, step=step, since=at, deaths=0, detail=self.detail if detail is None else detail
        )

    def wanted(self, target: str) -> str | None:
        """What it is to run, where the rollout brings `target`; None: what it runs."""
        if self.step in HAS_TARGET:
            return target
        return self.before if self.step in HAS_BEFORE else None

    @property
    def is_unchanged(self) -> bool:
        """It passed with the same stack and the same bytes."""
        return self.equal and self.stack_before == self.stack_after
