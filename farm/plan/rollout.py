"""Which card is changed now, and what follows from what cards report of themselves.

Looked at every second, with nothing remembered but the rollout and its cards' steps: what was
missed while the coordinator was away is seen at the next look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from farm.domain.rollout import (
    LOCKED,
    SETTLED,
    Change,
    Kind,
    Rollout,
    RolloutState,
    Step,
)
from farm.plan.policy import Policy
from farm.plan.words import count, duration

R, S = RolloutState, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a card said of its last examination."""

    number: int = 0
    passed: bool = False
    detail: str = ""
    stack_id: str = ""
    psnr_db: float | None = None
    equal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A card, as far as a rollout of one kind looks at it."""

    card_id: str
    card_type: str = ""
    runs: str = ""
    """Its release, or the digest of its model; empty: it does not say."""
    stack_id: str = ""
    here: bool = True
    """Heard of within its lease."""
    silent: float = 0.0
    """Seconds since it was heard of."""
    closed: str = ""
    """Why a person, a rule or another rollout lets nothing be changed; empty: it may be."""
    unready: str = ""
    """What it says of itself where it takes no clips now, or has not said what it renders with."""
    lacks: str = ""
    """What its node lacks of what is rolled out; empty: it has all of it."""
    needed: str = ""
    """Which clips need what it runs now, and no other card has; empty: none."""
    holds: int = 0
    """Clips."""
    ready_for: str = ""
    """The release for which it has rendered its reference."""
    examined: Examined = field(default_factory=Examined)
    examination: int = 0
    """The number of its next one."""
    seconds: float = 0.0
    """Since its step began, or since this coordinator started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is new."""

    rollout: Rollout
    changes: tuple[Change, ...] = ()
    """Cards that have made a step."""
    finishing: frozenset[str] = frozenset()
    """Cards that stay as they are until clips which need them are done, and so do those first."""
    sick: tuple[tuple[str, str], ...] = ()
    """Cards that fail their examination with what they ran before, each with what was found."""


def look(
    rollout: Rollout,
    changes: Mapping[str, Change],
    fleet: Mapping[str, Seen],
    policy: Policy,
    at: float,
) -> Look:
    """One look at a rollout, its cards and the fleet, by their ids; `at` in Unix seconds."""
    moved: dict[str, Change] = {}
    failed, sick = "", []
    for card_id, change in changes.items():
        seen = fleet.get(card_id) or Seen(card_id=card_id, here=False, silent=float("inf"))
        after = follow(change, rollout, seen, policy, at)
        if after is change:
            continue
        moved[card_id] = after
        if after.step is S.RETURNING and change.step is not S.LEAVING:
            failed = failed or f"card {card_id}: {after.detail}"
        if after.step is S.LEFT and rollout.state is R.CANARY:
            failed = failed or f"card {card_id} {after.detail}"
        if change.step is S.CHECKING and not _passes(change, seen):
            sick.append((card_id, after.detail))
    now = {**changes, **moved}
    decided = _decided(rollout, now, fleet, failed, policy, at)
    moved |= {change.card_id: change for change in _begun(decided, now, fleet, at)}
    now |= moved
    return Look(
        rollout=decided,
        changes=tuple(moved.values()),
        finishing=frozenset(
            card_id
            for card_id, seen in fleet.items()
            if seen.needed and (_ends_work(now, card_id) or _is_to_change(decided, now, seen))
        ),
        sick=tuple(sick),
    )


def canaries(kind: Kind, target: str, fleet: Iterable[Seen], number: int) -> list[Seen]:
    """The cards that begin, where nobody names them: of the type that most cards have.

    Fewer than `number` where there are no more.
    """
    able = [each for each in fleet if may_begin(kind, target, each)]
    types = Counter(each.card_type for each in able)
    order = sorted(able, key=lambda each: (-types[each.card_type], each.card_type, each.card_id))
    return order[:number]


def may_begin(kind: Kind, target: str, seen: Seen) -> bool:
    """A card can be a canary. What a model lacks on its node is fetched first."""
    has = kind is Kind.MODEL or not seen.lacks
    works = seen.here and not seen.closed and not seen.unready
    return works and has and bool(seen.runs) and seen.runs != target


def begin(rollout: Rollout, seen: Seen, at: float, *, canary: bool) -> Change:
    """A card's first step."""
    return Change(
        number=rollout.number,
        card_id=seen.card_id,
        step=S.NEXT if canary else S.DRAINING,
        before=seen.runs,
        canary=canary,
        since=at,
    )


def hindrance(seen: Seen) -> str:
    """Why a card is not changed now, as the end of a sentence that begins with it; empty: it may
    be."""
    if not seen.here:
        return f"was last heard of {duration(seen.silent)} ago"
    return seen.closed or seen.unready or seen.lacks or seen.needed


def follow(change: Change, rollout: Rollout, seen: Seen, policy: Policy, at: float) -> Change:
    """A card's next step, or the same where nothing is to happen."""
    if change.step in (S.NEXT, S.DRAINING, S.PREPARING):
        return _before_switch(change, rollout, seen, policy, at)
    if change.step in (S.SWITCHING, S.EXAMINING):
        return _switched(change, rollout, seen, policy, at)
    if change.step is S.CHANGED and rollout.state is R.BACK:
        return change.moved(S.LEAVING, at)
    if change.step is S.LEAVING:
        gone = seen.silent > policy.rollout_seconds
        if gone or (seen.here and not seen.holds and not seen.needed):
            return change.moved(S.RETURNING, at)
    if change.step is S.RETURNING and seen.here and seen.runs == change.before:
        return replace(change.moved(S.CHECKING, at), examination=seen.examination)
    if change.step is S.CHECKING:
        if seen.examined.number == change.examination:
            return change.moved(S.RETURNED, at, _joined(change.detail, seen.examined.detail))
        if _over(seen, policy):
            return change.moved(S.RETURNED, at, _joined(change.detail, "it was not examined"))
    return change


def _before_switch(
    change: Change, rollout: Rollout, seen: Seen, policy: Policy, at: float
) -> Change:
    """As long as a card runs what it ran."""
    if rollout.state is R.BACK:
        return change.moved(S.RETURNED, at)
    if change.step is S.PREPARING:
        if seen.here and seen.ready_for == rollout.target:
            return change.moved(S.SWITCHING, at)
        if _over(seen, policy):
            return change.moved(S.RETURNING, at, f"its golden chunk did not come: {_late(seen)}")
        return change
    if seen.silent > policy.rollout_seconds:
        return change.moved(S.LEFT, at, f"was not heard of for {duration(seen.silent)}")
    if change.step is S.NEXT:
        return change if hindrance(seen) else change.moved(S.DRAINING, at)
    if not seen.here or seen.holds or seen.needed:
        return change
    change = replace(change, stack_before=seen.stack_id)
    if seen.runs == rollout.target:
        return replace(change.moved(S.EXAMINING, at), examination=seen.examination)
    release = rollout.kind is Kind.RELEASE
    return change.moved(S.PREPARING if release else S.SWITCHING, at)


def _switched(change: Change, rollout: Rollout, seen: Seen, policy: Policy, at: float) -> Change:
    """From when a card was told to run the other one until it has shown that it can."""
    if rollout.state is R.BACK:
        return change.moved(S.RETURNING, at)
    if change.deaths > policy.rollout_deaths_max:
        why = f"its agent died {count(change.deaths, 'time')} with {rollout.target}"
        return change.moved(S.RETURNING, at, why)
    if change.step is S.SWITCHING:
        if seen.here and seen.runs == rollout.target:
            return replace(change.moved(S.EXAMINING, at), examination=seen.examination)
        release = rollout.kind is Kind.RELEASE
        if _over(seen, policy) or (release and seen.seconds > policy.rollout_seconds):
            why = f"it did not come back with {rollout.target}: {_late(seen)}"
            return change.moved(S.RETURNING, at, why)
        return change
    if seen.examined.number != change.examination:
        if _over(seen, policy):
            why = f"its examination with {rollout.target} did not end: {_late(seen)}"
            return change.moved(S.RETURNING, at, why)
        return change
    told = seen.examined
    after = replace(
        change,
        stack_after=seen.stack_id or told.stack_id,
        psnr_db=told.psnr_db,
        equal=told.equal,
    )
    if why := _fault(after, rollout, told):
        return after.moved(S.RETURNING, at, why)
    return after.moved(S.CHANGED, at, told.detail)


def _fault(change: Change, rollout: Rollout, told: Examined) -> str:
    """Why a card's examination does not do; empty: it does."""
    if not told.passed:
        return f"its examination with {rollout.target} failed: {told.detail}"
    if rollout.kind is Kind.MODEL or told.equal:
        return ""
    if told.psnr_db is None:
        return f"there was nothing to compare its golden chunk with: {told.detail}"
    if change.stack_before and change.stack_before == change.stack_after:
        return f"its stack is the same and its golden chunk another: {told.psnr_db:.1f} dB"
    return ""


def _over(seen: Seen, policy: Policy) -> bool:
    """Nothing more is waited for: the card is silent, or it takes longer than any golden chunk."""
    return (
        min(seen.silent, seen.seconds) > policy.rollout_seconds
        or seen.seconds > policy.rollout_examine_seconds
    )


def _late(seen: Seen) -> str:
    if not seen.here:
        return f"not heard of for {duration(min(seen.silent, seen.seconds))}"
    return f"nothing for {duration(seen.seconds)}"


def _passes(change: Change, seen: Seen) -> bool:
    return seen.examined.number != change.examination or seen.examined.passed


def _joined(first: str, then: str) -> str:
    return "; ".join(filter(None, (first, then)))


def _decided(
    rollout: Rollout,
    changes: Mapping[str, Change],
    fleet: Mapping[str, Seen],
    failed: str,
    policy: Policy,
    at: float,
) -> Rollout:
    """What follows for the rollout."""
    first = [change for change in changes.values() if change.canary]
    if failed and rollout.state in (R.CANARY, R.WAITING):
        return rollout.moved(R.BACK, at, reason=failed)
    if failed and rollout.state is not R.BACK:
        return replace(rollout, reason=failed)
    if rollout.state is R.CANARY and all(change.step is S.CHANGED for change in first):
        rollout = rollout.moved(R.WAITING, at)
    if rollout.state is R.WAITING and rollout.unattended and all(c.is_unchanged for c in first):
        rollout = rollout.moved(R.ROLLING, at)
    if rollout.state is R.ROLLING and not rollout.reason:
        settled = all(change.step in SETTLED for change in changes.values())
        seconds = policy.rollout_seconds
        recent = (s for s in fleet.values() if s.silent <= seconds and not s.closed)
        if settled and not any(_is_to_change(rollout, changes, seen) for seen in recent):
            return rollout.moved(R.DONE, at)
    return rollout


def _begun(
    rollout: Rollout, changes: Mapping[str, Change], fleet: Mapping[str, Seen], at: float
) -> Iterable[Change]:
    """Cards that are changed from now on."""
    if rollout.reason or rollout.state not in (R.ROLLING, R.DONE):
        return
    room = rollout.at_once - sum(change.step in LOCKED for change in changes.values())
    for card_id in sorted(fleet):
        if room <= 0:
            return
        seen = fleet[card_id]
        if _is_to_change(rollout, changes, seen) and not hindrance(seen):
            before = changes.get(card_id)
            begun = begin(rollout, seen, at, canary=before is not None and before.canary)
            yield replace(begun, step=S.DRAINING)
            room -= 1


def _ends_work(changes: Mapping[str, Change], card_id: str) -> bool:
    """It takes nothing new, and has not ended all that it is needed for."""
    change = changes.get(card_id)
    return change is not None and change.step in (S.DRAINING, S.LEAVING)


def _is_to_change(rollout: Rollout, changes: Mapping[str, Change], seen: Seen) -> bool:
    """It runs something else, and that is to end."""
    change = changes.get(seen.card_id)
    if change is not None and change.step is S.NEXT:
        return rollout.state is not R.BACK
    if rollout.state not in (R.ROLLING, R.DONE) or not seen.runs or seen.runs == rollout.target:
        return False
    return change is None or change.step in (S.RETURNED, S.LEFT)


def to_come(
    rollout: Rollout, changes: Mapping[str, Change], fleet: Mapping[str, Seen]
) -> Collection[Seen]:
    """Cards that run something else and have not begun, whatever the rollout waits for."""
    if rollout.state is R.BACK:
        return ()
    asked = replace(rollout, state=R.ROLLING)
    return [seen for seen in fleet.values() if _is_to_change(asked, changes, seen)]
