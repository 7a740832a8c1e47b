"""Rollouts and their cards as the store has them, and since when each card is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from farm.domain.rollout import LOCKED, SETTLED, Change, Kind, Rollout, RolloutState
from farm.ports import Store


class RolloutBook:
    """A mirror of the store, read anew whenever a transaction has failed."""

    def __init__(self, store: Store, now: float) -> None:
        """`now` in monotonic seconds: what a card's step has taken counts from now on."""
        self.all = {rollout.number: rollout for rollout in store.rollouts()}
        self._changes: dict[int, dict[str, Change]] = {number: {} for number in self.all}
        self._since: dict[tuple[int, str], float] = {}
        self._start = now
        self._active: dict[Kind, Rollout | None] = {}
        """As it was found since anything changed: every exchange asks."""
        self.finishing: frozenset[str] = frozenset()
        """Cards that do first what clips need them for: see `farm.plan.rollout.Look`."""
        for change in store.rollout_cards():
            self._changes[change.number][change.card_id] = change

    def put(self, rollout: Rollout) -> None:
        """Add or replace one."""
        self._active.clear()
        self.all[rollout.number] = rollout
        self._changes.setdefault(rollout.number, {})

    def put_change(self, change: Change, now: float) -> None:
        """Add or replace a card's."""
        self._active.clear()
        of_rollout = self._changes[change.number]
        before = of_rollout.get(change.card_id)
        if before is None or before.step is not change.step:
            self._since[change.number, change.card_id] = now
        of_rollout[change.card_id] = change

    def changes(self, number: int) -> Mapping[str, Change]:
        """The cards of a rollout, by their ids."""
        return self._changes[number]

    def seconds(self, change: Change, now: float) -> float:
        """Since its step began, or since the book was read."""
        return now - self._since.get((change.number, change.card_id), self._start)

    def latest(self, kind: Kind) -> Rollout | None:
        """The last one that was begun."""
        return next(self._of(kind), None)

    def active(self, kind: Kind) -> Rollout | None:
        """The one that cards go by now: that is under way, goes back, or was done last."""
        if kind not in self._active:
            going = (
                rollout
                for rollout in self._of(kind)
                if rollout.state is not RolloutState.BACK or self.unsettled(rollout)
            )
            self._active[kind] = next(going, None)
        return self._active[kind]

    def unsettled(self, rollout: Rollout) -> list[Change]:
        """Cards of it that are on their way; of one that goes back, changed ones are too."""
        back = rollout.state is RolloutState.BACK
        return [
            change
            for change in self._changes[rollout.number].values()
            if change.step not in SETTLED or (back and change.wanted("target") == "target")
        ]

    def wanted(self, kind: Kind, card_id: str) -> str | None:
        """The release or model that a card is to run; None: what it runs."""
        found = self.ruling(kind, card_id)
        return found.wanted(self.all[found.number].target) if found is not None else None

    def ruling(self, kind: Kind, card_id: str) -> Change | None:
        """The change by which a card runs what it runs: that of the active rollout if it has come
        so far, else the last one that has."""
        active = self.active(kind)
        if active is not None:
            own = self._changes[active.number].get(card_id)
            if own is not None and own.wanted("") is not None:
                return own
        said = (
            change
            for rollout in self._of(kind)
            if (change := self._changes[rollout.number].get(card_id)) is not None
            and change.wanted("") is not None
        )
        return max(said, key=lambda change: change.since, default=None)

    def locks(self) -> Mapping[str, str]:
        """Cards that take no new clips for a rollout's sake, each with why."""
        return {
            change.card_id: rollout.why_locked(change)
            for kind in Kind
            if (rollout := self.active(kind)) is not None
            for change in self._changes[rollout.number].values()
            if change.step in LOCKED
        }

    def _of(self, kind: Kind) -> Iterator[Rollout]:
        """The last one first."""
        return (self.all[n] for n in sorted(self.all, reverse=True) if self.all[n].kind is kind)
