"""Rollouts as operators see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from farm.coordinator.books import Books
from farm.coordinator.rollouts import Rollouts
from farm.domain.rollout import Change, Kind, Rollout, RolloutState, Step
from farm.plan.rollout import Seen, hindrance, to_come
from heliostat.v1 import fleet_service_pb2 as fleet_pb

KINDS: Final = MappingProxyType(
    {each: fleet_pb.RolloutKind.Value(f"ROLLOUT_KIND_{each.name}") for each in Kind}
)
_STATES: Final = MappingProxyType(
    {each: fleet_pb.RolloutState.Value(f"ROLLOUT_STATE_{each.name}") for each in RolloutState}
)
_STEPS: Final = MappingProxyType(
    {each: fleet_pb.RolloutStep.Value(f"ROLLOUT_STEP_{each.name}") for each in Step}
)
TO_COME: Final = "to come"
"""Stands for the step of cards that have not begun."""


def active_views(books: Books, rollouts: Rollouts) -> list[fleet_pb.Rollout]:
    """Those that cards go by now, with cards where any is on its way or to come."""
    book, found = books.rollouts, []
    for kind in Kind:
        rollout = book.active(kind)
        if rollout is None:
            continue
        changes, seen = book.changes(rollout.number), dict[str, Seen]()
        view = rollout_view(rollout)
        if rollout.is_open or book.unsettled(rollout):
            seen = rollouts.fleet(kind, rollout.target, rollout.number)
            view.cards.extend(change_views(changes.values()))
            for card in view.cards:
                if card.step == fleet_pb.ROLLOUT_STEP_NEXT:
                    card.detail = hindrance(seen[card.card_id])
        steps = Counter(change.step.value for change in changes.values())
        for each in to_come(rollout, changes, seen):
            if each.card_id not in changes:
                view.cards.add(card_id=each.card_id, before=each.runs, detail=hindrance(each))
                steps[TO_COME] += 1
        view.cards_by_step.update(steps)
        found.append(view)
    return found


def rollout_view(rollout: Rollout) -> fleet_pb.Rollout:
    """One of them, without its cards."""
    view = fleet_pb.Rollout(
        number=rollout.number,
        kind=KINDS[rollout.kind],
        target=rollout.target,
        source=rollout.source,
        name=rollout.name,
        canary=rollout.canary,
        at_once=rollout.at_once,
        unattended=rollout.unattended,
        state=_STATES[rollout.state],
        reason=rollout.reason,
        started_by=rollout.started_by,
        decided_by=rollout.decided_by,
    )
    view.started_at.FromMicroseconds(int(rollout.started_at * 1e6))
    view.changed_at.FromMicroseconds(int(rollout.changed_at * 1e6))
    return view


def change_views(changes: Iterable[Change]) -> list[fleet_pb.RolloutCard]:
    """Cards of a rollout, those first that began it."""
    found = []
    for change in sorted(changes, key=lambda each: (not each.canary, each.card_id)):
        view = fleet_pb.RolloutCard(
            card_id=change.card_id,
            canary=change.canary,
            step=_STEPS[change.step],
            before=change.before,
            detail=change.detail,
            stack_before=change.stack_before,
            stack_after=change.stack_after,
            psnr_db=change.psnr_db,
            equal=change.equal,
        )
        view.since.FromMicroseconds(int(change.since * 1e6))
        found.append(view)
    return found
