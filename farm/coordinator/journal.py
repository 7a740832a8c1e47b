"""Commits, and tells what a commit did to clips: in the log and to OpenTelemetry."""

from __future__ import annotations

import logging
from typing import Final

from farm.coordinator.stats import Stats
from farm.domain.clip import ClipState, EventKind
from farm.domain.ledger import ClipChange, Commit, EventRow
from farm.failpoints import reach
from farm.ports import Clock, Store
from heliostat.traces import SUBMIT, NoSpans, Spans, attempt_path

logger = logging.getLogger(__name__)

EVENTS_MAX: Final = 1_000
"""Of a clip, looked through for when its attempt began."""
_BAD: Final = (EventKind.FAIL, EventKind.LOST)


class Journal:
    """One coordinator's."""

    def __init__(self, store: Store, clock: Clock, stats: Stats) -> None:
        self._store = store
        self._clock = clock
        self._stats = stats
        self.spans: Spans = NoSpans()
        """Where spans go; nowhere, unless the process says otherwise."""

    def commit(self, epoch: int, commit: Commit) -> None:
        """Write it, then tell of it. Raises what the store raises."""
        began = self._clock.now()
        reach("coordinator.commit.before")
        with self._stats.commit(self._clock.monotonic):
            self._store.commit(epoch, began, commit)
        reach("coordinator.commit.after")
        try:
            self._tell(commit, began, self._clock.now())
        except Exception:  # what is committed stays committed
            logger.exception("a commit could not be told of")

    def _tell(self, commit: Commit, began: float, ended: float) -> None:
        """Log what became of clips, and tell the spans that are over; times are Unix seconds."""
        for change in commit.clips:
            _log(change)
            if self.spans.is_wanted(change.after.clip_id):
                self._trace(change, began, ended)

    def _trace(self, change: ClipChange, began: float, ended: float) -> None:
        before, after = change.before, change.after
        if change.kind is EventKind.LEASE and after.attempt == 1:
            self._submitted(change, began)
        if before.state is not ClipState.LEASED or after.state is ClipState.LEASED:
            return
        events = self._store.clip_events(after.clip_id, limit=EVENTS_MAX)
        lease = _lease_of(events, before.attempt)
        self.spans.emit(
            after.clip_id,
            attempt_path(before.attempt),
            parent=SUBMIT,
            after=attempt_path(before.attempt - 1) if before.attempt > 1 else None,
            start=lease.at if lease else began,
            end=ended,
            attributes={
                "heliostat.batch_id": after.batch_id,
                "heliostat.attempt": before.attempt,
                "heliostat.card_id": before.holder.card_id if before.holder else "",
                "heliostat.outcome": str(change.kind),
                "heliostat.chunks": after.chunks_done,
            },
            error=str(change.kind) if change.kind in _BAD else "",
        )
        if change.kind is EventKind.DONE:
            self.spans.emit(
                after.clip_id,
                ("commit", before.attempt),
                parent=attempt_path(before.attempt),
                start=began,
                end=ended,
                attributes={"heliostat.frames": after.frames},
            )

    def _submitted(self, change: ClipChange, leased_at: float) -> None:
        clip_id = change.after.clip_id
        oldest = self._store.clip_events(clip_id, limit=EVENTS_MAX)[-1:]
        self.spans.emit(
            clip_id,
            SUBMIT,
            parent=None,
            start=oldest[0].at if oldest else leased_at,
            end=leased_at,
            attributes={
                "heliostat.batch_id": change.after.batch_id,
                "heliostat.frames": change.after.frames,
            },
        )


def _lease_of(events: list[EventRow], attempt: int) -> EventRow | None:
    leases = (e for e in events if e.kind == EventKind.LEASE and e.attempt == attempt)
    return next(leases, None)


def _log(change: ClipChange) -> None:
    is_bad = change.kind in _BAD
    level = logging.WARNING if is_bad else logging.INFO
    if change.kind is EventKind.CHUNK:
        level = logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    before, after = change.before, change.after
    card_id = change.card_id or (before.holder.card_id if before.holder else "")
    ids = {"clip_id": after.clip_id, "attempt": after.attempt, "batch_id": after.batch_id}
    logger.log(
        level,
        "%s: %s, %d of %d chunks%s",
        change.kind,
        after.state,
        after.chunks_done,
        after.chunks,
        f": {change.detail}" if change.detail else "",
        extra={**ids, **({"card_id": card_id} if card_id else {})},
    )
