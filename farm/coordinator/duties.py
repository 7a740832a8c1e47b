"""What the coordinator does by the clock: who yields, which deadlines are near, who is well."""

from __future__ import annotations

from collections.abc import Mapping

from farm.coordinator import spending
from farm.coordinator.books import Books
from farm.coordinator.idling import Idling
from farm.coordinator.queues import Queues
from farm.coordinator.rollouts import Rollouts
from farm.coordinator.sickness import read_examinations
from farm.domain.batch import Batch
from farm.plan.board import Entry
from farm.plan.deadline import Outlook, warning
from farm.plan.due import look_at_deadlines, outlook_of
from farm.plan.sweep import expired
from farm.plan.yields import Seat, yields

USAGE_SECONDS = 60.0
"""What projects have had is written down so often; a restart forgets no more."""


class Duties:
    """All of them, each tick."""

    def __init__(self, books: Books, rollouts: Rollouts) -> None:
        self._books = books
        self._rollouts = rollouts
        self.queues = Queues()
        self._warned: dict[str, bool] = {}
        self._saved_at = books.clock.now()
        self._saved: Mapping[str, float] = {}
        self._idling = Idling(books)

    def run(self) -> int:
        """Within a transaction; returns how many leases have expired."""
        books, now = self._books, self._books.clock.monotonic()
        books.clips.wake(now)
        books.settle_standings()
        read_examinations(books)
        self._rollouts.run()
        over = expired(list(books.clips.leases.items()), now)
        for clip_id, _ in over:
            clip = books.clips.get(clip_id)
            if clip is not None:
                books.lose(clip, f"not heard of for {books.policy.lease_seconds:.0f} s")
        spending.pause_at_budgets(books)
        self._look_at_deadlines()
        self.queues.look(books.clips.entries(), books.clock.now())
        self._ask_for_yields(now)
        self._save_usage()
        self._idling.look(now)
        return len(over)

    def outlook(self, entry: Entry) -> Outlook | None:
        """How a batch stands with its deadline; None where it has none."""
        books = self._books
        return outlook_of(
            books.clips,
            books.lineup,
            entry,
            books.working_cards(),
            books.cards.pace,
            books.policy,
            unix_now=books.clock.now(),
        )

    def is_late(self, batch_id: str) -> bool:
        """The deadline of an open batch could not be kept, as of the last tick."""
        return self._warned.get(batch_id, False)

    def _look_at_deadlines(self) -> None:
        """Near deadlines move their batches up; one that cannot be kept is said to be so, once."""
        books = self._books
        if not any(entry.batch.deadline is not None for entry in books.clips.entries()):
            return
        for entry, found in look_at_deadlines(
            books.clips,
            books.lineup,
            books.working_cards(),
            books.cards.pace,
            books.policy,
            unix_now=books.clock.now(),
        ):
            self._warn(entry.batch, found)
        self._warned = {i: late for i, late in self._warned.items() if books.clips.entry(i)}

    def _warn(self, batch: Batch, found: Outlook) -> None:
        """Say once that a deadline cannot be kept, and once that it can again."""
        late = not found.feasible
        if late != self._warned.get(batch.batch_id, False):
            self._warned[batch.batch_id] = late
            text = warning(found, batch.name) if late else "its deadline can be kept again"
            self._books.decide(batch, "deadline" if late else "deadline_kept", text)

    def _ask_for_yields(self, now: float) -> None:
        books, cards = self._books, self._books.cards
        seats = {
            card.row.card_id: Seat(
                card.facts, card.standing, card.standing_reason, cards.pace(card.row.card_id)
            )
            for card in cards
            if card.is_here(now, books.policy.lease_seconds)
        }
        books.clips.keep_only_for(seats)
        for each in yields(
            books.clips,
            books.lineup,
            books.chooser,
            seats,
            books.policy,
            unix_now=books.clock.now(),
        ):
            lease = books.clips.leases[each.clip_id]
            lease.yield_reason, lease.asked = each.reason, now
            books.stats.yields_asked += 1
            if each.to_card:
                books.clips.reserve(each.clip_id, each.to_card, now + each.kept_seconds)

    def _save_usage(self) -> None:
        """Write down what projects have had, now and then."""
        books, now = self._books, self._books.clock.now()
        if now - self._saved_at < USAGE_SECONDS:
            return
        self._saved_at = now
        usage = {name: project.usage for name, project in books.clips.projects.items()}
        changed = [name for name, used in usage.items() if used != self._saved.get(name, 0.0)]
        books.pending.projects += [books.clips.projects[name] for name in changed]
        self._saved = usage
