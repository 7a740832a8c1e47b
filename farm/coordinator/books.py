"""The coordinator's books: the open farm in memory, and what of it is still to be written.

The store is the truth. Memory mirrors it and runs ahead only within a transaction; should that
fail, for whatever reason, memory is read anew: before the next call where the database has died.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from farm.coordinator import rendered, shares, spending, usage
from farm.coordinator.cards import Cards
from farm.coordinator.journal import Journal
from farm.coordinator.rollout_book import RolloutBook
from farm.coordinator.settings_book import Decided
from farm.coordinator.stats import Stats
from farm.coordinator.steers import Steers
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import (
    CHUNK_FRAMES,
    ENDED,
    AttemptLost,
    Cancelled,
    Clip,
    ClipState,
    Event,
    EventKind,
    Leased,
    Ready,
    Work,
    step,
)
from farm.domain.errors import BadDecision
from farm.domain.fleet import CardFacts, FleetEvent, Needs
from farm.domain.ledger import BatchChange, ClipChange, Commit
from farm.domain.quote import Spent
from farm.domain.stacks import goes_on
from farm.plan.board import Board, Entry, Lease
from farm.plan.choose import Chooser
from farm.plan.failures import Strikes
from farm.plan.lineup import Lineup
from farm.plan.match import matches
from farm.plan.policy import Policy
from farm.plan.promise import kept
from farm.plan.retry import after_loss, roomier
from farm.plan.speed import Paces
from farm.plan.tariff import Tariff
from farm.plan.timing import Timings
from farm.plan.waits import Cause, Waits
from farm.ports import Clock, Store

Unmet = Mapping[int, Mapping[int, ClipState]]
"""Ordinal of a clip → those of its batch that it waits for, without takes, and their states."""
SETTLED_AT_ONCE = 1000
"""Clips that one transaction lets go, or calls off, because of what they waited for."""


class Books:
    """What the coordinator knows, and the one way in which it changes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policy: Policy,
        h100_seconds_per_frame: Callable[[Work], float],
        tariff: Tariff,
    ) -> None:
        """Claim the next epoch and load the open clips."""
        self.tariff = tariff
        self.store = store
        self.clock = clock
        self.policy = policy
        self.epoch = store.claim_epoch(clock.now())
        self.stats = Stats(clock.now())
        self.journal = Journal(store, clock, self.stats)
        self._h100_seconds = h100_seconds_per_frame
        store.discard_staged(self.epoch)
        self._load()

    @property
    def clips(self) -> Board:
        """The open clips and their leases."""
        if self._stale:
            self._load()
        return self._clips

    @property
    def cards(self) -> Cards:
        """Every card that was ever heard of."""
        if self._stale:
            self._load()
        return self._cards

    def read_anew(self) -> None:
        """The store may hold what memory does not: whoever needs memory next reads it first."""
        self._stale = True

    def _load(self) -> None:
        """All of memory from the store.

        Half of it would be worse than none: an empty queue tells every card to drop its work. So
        where the store does not answer, memory is stale, and whoever needs it reads it first.
        """
        self._stale = False
        try:
            self._read()
        except BaseException:
            self._stale = True
            raise

    def _read(self) -> None:
        """Memory from the store. No lease ends before a full lease time from now (REL-3)."""
        now, store = self.clock.monotonic(), self.store
        self._clips = Board(self.cost)
        self.decided = Decided(store)
        self.clips.projects, self.clips.limits = self.decided.projects, self.decided.limits
        self.lineup = Lineup(self.clips, self.policy)
        self.chooser = Chooser(self.clips, self.lineup, self.policy)
        self.paces = Paces()
        self._cards = Cards(store.cards(), now, self.paces)
        self.rollouts = RolloutBook(store, now)
        self._cards.lock(self.rollouts.locks())
        self.settle_standings()
        self.strikes = Strikes(self.policy)
        self.waits = Waits()
        self.steers = Steers(store)
        self.timings = Timings()
        self._spent: dict[str, Spent] = {}
        self._due: deque[tuple[str, Event, str]] = deque()
        self.totals = self.totals_written = store.totals()
        self.usage = usage.UsageBook(store, self.clock)
        self.pending = Commit()
        for batch in store.open_batches():
            self.load_batch(batch)

    def load_batch(self, batch: Batch) -> None:
        """A batch and its open clips from the store, those left out that are here already."""
        expires = self.clock.monotonic() + self.policy.lease_seconds
        self.put_batch(batch)
        waiting = []
        for clip in self.store.clips_in_memory(batch.batch_id):
            if self.clips.get(clip.clip_id) is not None:
                continue
            self.clips.put(clip)
            if clip.state is ClipState.LEASED:
                since = self.clock.monotonic()
                self.clips.leases[clip.clip_id] = Lease(expires, started=True, since=since)
            elif clip.state is ClipState.WAITING:
                waiting.append(clip)
        self.clips.forget_if_empty(batch.batch_id)
        if self.clips.entry(batch.batch_id) is None:
            del self._spent[batch.batch_id]
        if waiting:
            self._wait(batch, waiting)

    @contextmanager
    def transaction(self, *, counters: bool = False) -> Iterator[None]:
        """Whatever is stepped within is committed at the end, all of it or nothing.

        A transaction that changed nothing writes nothing; the farm's totals alone are written where
        `counters` says so. Raises `Fenced`, `StaleWrite`, and whatever the disk says.
        """
        if self._stale:
            self._load()
        try:
            yield
            self.settle()
            counted = counters and self.totals != self.totals_written
            if self.pending or self.usage.is_due or self.cards.is_due or counted:
                usage.waste_given_up(self)
                commit, self.pending = self.pending, Commit()
                commit.totals = self.totals
                commit.usage = self.usage.take()
                commit.cards = self.cards.rows_changed()
                self.journal.commit(self.epoch, commit)
                self.totals_written = commit.totals
                self.usage.written()
        except BaseException:
            self._load()
            raise

    def step(self, clip: Clip, event: Event, *, detail: str = "", card_id: str = "") -> Clip:
        """Step a clip by an event. Raises `InvalidTransition`, and then nothing has changed."""
        after = step(clip, event)
        board = self.clips
        if clip.state is ClipState.LEASED and after.state is not ClipState.LEASED:
            self.timings.given_up(clip.clip_id)
            if event.kind is EventKind.CANCEL:
                spending.lost(self, clip)
            shares.refund(self, after, board.leases.get(clip.clip_id))
            if after.chunks_done and clip.holder is not None:
                self._note_home(after, clip.holder.card_id)
        entry = board.entry(clip.batch_id)
        board.put(after)
        self.pending.clips.append(ClipChange(clip, after, event.kind, detail, card_id))
        if clip.holder is not None and after.state is not ClipState.LEASED:
            rendered.given_back(self, clip, clip.holder.card_id)
        usage.stepped(self, clip, after, event.kind)
        if after.ended:
            self._ended(after, entry)
        return after

    def lease(self, clip: Clip, card_id: str) -> Clip:
        """Give a clip to a card, and charge its project with what is left of it."""
        now, board = self.clock.monotonic(), self.clips
        idle = card_id not in board.busy
        leased = self.step(clip, Leased(self.cards.holder(card_id)), card_id=card_id)
        self.timings.leased(clip.clip_id, card_id, now, idle=idle)
        lease = Lease(now + self.policy.lease_seconds, started=False, since=now)
        lease.charged = board.units_of(leased)
        board.leases[clip.clip_id] = lease
        shares.charge(self, leased, lease.charged)
        self.stats.leases_granted += 1
        return leased

    def decide(self, batch: Batch, kind: str, detail: str = "") -> None:
        """Note what was decided of a batch."""
        if self.clips.entry(batch.batch_id) is not None:
            self.clips.put_batch(batch)
        self.pending.batches.append(BatchChange(batch, kind, detail))

    def spend(self, batch_id: str, more: Spent) -> None:
        """Add to what a batch has cost."""
        self._spent[batch_id] = self._spent.get(batch_id, Spent()) + more
        self.pending.spent[batch_id] = self.pending.spent.get(batch_id, Spent()) + more

    def spent(self, batch: Batch) -> Spent:
        """What a batch has cost so far."""
        return self._spent.get(batch.batch_id, batch.spent)

    def put_batch(self, batch: Batch) -> None:
        """Have a batch on the board, whose clips follow."""
        self._spent[batch.batch_id] = batch.spent
        counts = self.store.counts(batch.batch_id)
        failed = counts.get(ClipState.FAILED, 0)
        self.clips.put_batch(batch, clips=sum(counts.values()), failed=failed)

    def note(self, target: str, kind: str, detail: str) -> None:
        """Note what was decided of a node or a card."""
        self.pending.fleet_events.append(FleetEvent(target, kind, detail))

    def count(self, **more: int) -> None:
        """Add to the farm's totals, by name."""
        sums = {name: getattr(self.totals, name) + n for name, n in more.items() if n}
        if sums:
            self.totals = replace(self.totals, **sums)

    def lose(self, clip: Clip, reason: str) -> None:
        """A clip's holder died or went silent."""
        now, card_id = self.clock.monotonic(), clip.holder.card_id if clip.holder else ""
        started = self.clips.leases[clip.clip_id].started
        outcome = after_loss(clip, reason, started=started, now=now, policy=self.policy)
        text = f"card {card_id}: {reason}"
        spending.lost(self, clip)
        self.step(clip, AttemptLost(text, outcome, started), detail=text, card_id=card_id)
        self.count(attempts_lost=int(started))
        self.stats.leases_expired += 1

    def lose_all(self, card_id: str, reason: str) -> int:
        """Everything that a card held is lost; returns how many leases."""
        held = self.clips.held_by(card_id)
        for clip in held:
            self.lose(clip, reason)
        return len(held)

    def h100_seconds(self, clip: Clip) -> float:
        """Seconds that the baseline takes for one frame of a clip."""
        return self._h100_seconds(clip.work)

    def cost(self, work: Work) -> float:
        """What a chunk of some work costs: the baseline's seconds, or 1 where it has none."""
        return self._h100_seconds(work) * CHUNK_FRAMES or 1.0

    def settle_standings(self) -> None:
        """Work out what every card may do now."""
        self.cards.settle_standings(self.decided.nodes, self.clock.now())

    def working_cards(self) -> dict[str, CardFacts]:
        """Cards that are here and may take clips."""
        now, seconds = self.clock.monotonic(), self.policy.lease_seconds
        return {
            card.row.card_id: card.facts
            for card in self.cards
            if card.is_here(now, seconds) and card.standing.takes_clips
        }

    def candidates(self, clip: Clip, now: float) -> set[str]:
        """Cards that could have a clip, now or soon: heard of lately, and not out of work."""
        batch = self.clips.batch(clip.batch_id)
        needs = batch.needs if batch is not None else Needs()
        return {
            card.row.card_id
            for card in self.cards.counted_on(now, self.policy.card_forgotten_seconds)
            if matches(needs, card.facts, clip.quality) and goes_on(clip.bond, card.facts.bond)
        }

    def keep_for_roomier(self, clip: Clip, card_id: str, now: float) -> None:
        """Keep a clip that did not fit a card for one with more memory, where there is one."""
        failed_on, candidates = self.cards.get(card_id), self.candidates(clip, now)
        cards = [card.facts for card in self.cards if card.row.card_id in candidates]
        if failed_on is not None and (better := roomier(failed_on.facts, cards)):
            self.clips.reserve(clip.clip_id, better[0], now + self.policy.reserve_seconds)

    def unmet(self, batch: Batch, clips: Sequence[Clip]) -> Unmet:
        """What clips of a batch still depend on, where these are wanted again.

        Raises `BadDecision` where one of these depends on one that has ended without a take and is
        not among them: it would wait for ever.
        """
        unmet, wanted = self.store.unmet(batch.batch_id), {clip.ordinal for clip in clips}
        dead = {
            on: state
            for ordinal in wanted
            for on, state in unmet.get(ordinal, {}).items()
            if state in ENDED and on not in wanted
        }
        if dead:
            said = ", ".join(f"clip {on:05d} ({state})" for on, state in sorted(dead.items())[:10])
            raise BadDecision(
                f"they depend on {said}, which has no take: retry that with them, or everything "
                f"by `farm retry {batch.batch_id} --failed --cancelled`"
            )
        return unmet

    def wait(self, batch: Batch, clips: Sequence[Clip], unmet: Unmet) -> set[str]:
        """Which clips that are wanted again have to wait; what they wait for is noted."""
        causes = self._causes(batch, unmet)
        waiting = {clip.clip_id: found for clip in clips if (found := causes(clip.ordinal))}
        for clip_id, found in waiting.items():
            self.waits.add(clip_id, found)
        return set(waiting)

    # -- what clips wait for ---------------------------------------------------------------

    def _wait(self, batch: Batch, waiting: list[Clip]) -> None:
        """Note what waiting clips wait for; what has happened meanwhile becomes due."""
        unmet = self.store.unmet(batch.batch_id)
        causes = self._causes(batch, unmet)
        for clip in waiting:
            of_clip = unmet.get(clip.ordinal, {})
            if dead := [on for on in of_clip.items() if on[1] in ENDED]:
                reason = _depends(*dead[-1])
                self._due.append((clip.clip_id, Cancelled(reason), reason))
            elif found := causes(clip.ordinal):
                self.waits.add(clip.clip_id, found)
            else:
                self._due.append((clip.clip_id, Ready(), ""))

    def _causes(self, batch: Batch, unmet: Unmet) -> Callable[[int], list[Cause]]:
        """What a clip of a batch waits for, by its ordinal; `unmet` as the store has it."""
        batches = [(i, 0) for i in batch.after if self._is_unfinished(i)]
        return lambda ordinal: [*batches, *((batch.batch_id, on) for on in unmet.get(ordinal, ()))]

    def _is_unfinished(self, batch_id: str) -> bool:
        return any(state not in ENDED for state in self.store.counts(batch_id))

    def _ended(self, clip: Clip, entry: Entry | None) -> None:
        """A clip has ended: what waited for it goes, or is called off."""
        self.waits.forget(clip.clip_id)
        cause = (clip.batch_id, clip.ordinal)
        if clip.state is ClipState.DONE:
            self._due.extend((clip_id, Ready(), "") for clip_id in self.waits.settle(cause))
        elif waiting := self.waits.waiting_for(cause):
            reason = _depends(clip.ordinal, clip.state)
            self._due.extend((clip_id, Cancelled(reason), reason) for clip_id in waiting)
        if entry is not None and self.clips.entry(clip.batch_id) is None:
            over = self.waits.settle((clip.batch_id, 0))
            self._due.extend((clip_id, Ready(), "") for clip_id in over)
            self._note_end(entry)

    def _note_end(self, entry: Entry) -> None:
        """Write down when a batch ended, beside what was promised."""
        batch, kind = entry.batch, "failed" if entry.failed else "done"
        if batch.state is BatchState.CANCELLED:
            kind = "over"
        at, spent = self.clock.now(), self._spent.pop(batch.batch_id, batch.spent)
        self.decide(replace(batch, ended_at=at), kind, kept(batch.promise, spent, at))

    def settle(self) -> None:
        """Step clips for which what they waited for has been decided; the rest follows soon."""
        for _ in range(SETTLED_AT_ONCE):
            if not self._due:
                break
            clip_id, event, detail = self._due.popleft()
            clip = self.clips.get(clip_id)
            if clip is not None and clip.state is ClipState.WAITING:
                self.step(clip, event, detail=detail)

    def _note_home(self, clip: Clip, card_id: str) -> None:
        card = self.cards.get(card_id)
        if card is not None and not clip.ended:
            self.clips.home.setdefault(clip.clip_id, card.row.card_type)


def _depends(ordinal: int, state: ClipState) -> str:
    return f"clip {ordinal:05d} of its batch, on which it depends, was {state}"
