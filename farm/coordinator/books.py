"""The coordinator's books: the open farm in memory, and what of it is still to be written.

The store is the truth. Memory mirrors it and runs ahead only within a transaction; should that
fail, for whatever reason, memory is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from farm.coordinator.cards import Cards
from farm.coordinator.open_clips import Lease, OpenClips
from farm.coordinator.settings_book import Decided
from farm.domain.batch import Batch
from farm.domain.clip import AttemptLost, Clip, ClipState, Event, Work, step
from farm.domain.ledger import BatchChange, ClipChange, Commit, Totals
from farm.plan.policy import Policy
from farm.plan.retry import after_loss
from farm.ports import Clock, Store


class Books:
    """What the coordinator knows, and the one way in which it changes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policy: Policy,
        h100_seconds_per_frame: Callable[[Work], float],
    ) -> None:
        """Claim the next epoch and load the open clips."""
        self.store = store
        self.clock = clock
        self.policy = policy
        self.epoch = store.claim_epoch(clock.now())
        self._h100_seconds = h100_seconds_per_frame
        store.discard_staged(self.epoch)
        self._load()

    def _load(self) -> None:
        """Memory from the store. No lease ends before a full lease time from now (REL-3)."""
        now = self.clock.monotonic()
        self.clips = OpenClips()
        self.cards = Cards(self.store.cards(), now)
        self.decided = Decided(self.store)
        self.totals: Totals = self.store.totals()
        self.pending = Commit()
        for batch in self.store.open_batches():
            self.load_batch(batch)

    def load_batch(self, batch: Batch) -> None:
        """A batch and its open clips from the store."""
        expires = self.clock.monotonic() + self.policy.lease_seconds
        self.clips.put_batch(batch)
        for clip in self.store.clips_in_memory(batch.batch_id):
            self.clips.put(clip)
            if clip.state is ClipState.LEASED:
                self.clips.leases[clip.clip_id] = Lease(expires, started=True)
        self.clips.forget_if_empty(batch.batch_id)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Whatever is stepped within is committed at the end, all of it or nothing.

        A transaction that changed nothing writes nothing. Raises `Fenced`, `StaleWrite`, and
        whatever the disk says.
        """
        try:
            yield
            commit, self.pending = self.pending, Commit()
            if commit:
                commit.totals = self.totals
                commit.cards = self.cards.rows_changed()
                self.store.commit(self.epoch, self.clock.now(), commit)
        except BaseException:
            self._load()
            raise

    def step(self, clip: Clip, event: Event, *, detail: str = "", card_id: str = "") -> None:
        """Step a clip by an event. Raises `InvalidTransition`, and then nothing has changed."""
        after = step(clip, event)
        self.clips.put(after)
        if after.state is not ClipState.LEASED:
            self.clips.leases.pop(clip.clip_id, None)
        self.pending.clips.append(ClipChange(clip, after, event.kind, detail, card_id))

    def decide(self, batch: Batch, kind: str, detail: str = "") -> None:
        """Note what was decided of a batch."""
        self.clips.put_batch(batch)
        self.pending.batches.append(BatchChange(batch, kind, detail))

    def count(self, **more: int) -> None:
        """Add to the farm's totals, by name."""
        sums = {name: getattr(self.totals, name) + n for name, n in more.items()}
        self.totals = replace(self.totals, **sums)

    def lose(self, clip: Clip, reason: str) -> None:
        """A clip's holder died or went silent."""
        now, card_id = self.clock.monotonic(), clip.holder.card_id if clip.holder else ""
        started = self.clips.leases[clip.clip_id].started
        outcome = after_loss(clip, reason, started=started, now=now, policy=self.policy)
        text = f"card {card_id}: {reason}"
        self.step(clip, AttemptLost(text, outcome, started), detail=text, card_id=card_id)
        self.count(attempts_lost=int(started))

    def lose_all(self, card_id: str, reason: str) -> int:
        """Everything that a card held is lost; returns how many leases."""
        held = self.clips.held_by(card_id)
        for clip in held:
            self.lose(clip, reason)
        return len(held)

    def h100_seconds(self, clip: Clip) -> float:
        """Seconds that the baseline takes for one frame of a clip."""
        return self._h100_seconds(clip.work)
