"""Submissions under way: staged in the store, seen by nobody until they are published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farm.coordinator.books import Books
from farm.domain.batch import Batch
from farm.domain.errors import FarmError, NotFound
from farm.domain.ledger import RequestRow
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.failpoints import reach


@dataclass(slots=True)
class _Submission:
    batch: Batch
    touched: float
    """Monotonic seconds of the last call."""


class Submissions:
    """Those that this coordinator began; they do not outlive it."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._begun: dict[str, _Submission] = {}

    def begin(self, batch: Batch) -> None:
        """Begin one."""
        books = self._books
        books.store.stage_batch(books.epoch, batch)
        self._begun[batch.batch_id] = _Submission(batch, books.clock.monotonic())

    def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add checked clips. Raises `NotFound` when this coordinator did not begin it."""
        books = self._books
        self._find(batch_id).touched = books.clock.monotonic()
        books.store.stage_clips(books.epoch, batch_id, clips)

    def stage_dependencies(self, batch_id: str, pairs: Sequence[tuple[int, int]]) -> None:
        """Add which clips wait for which others. Raises `NotFound` as above."""
        books = self._books
        self._find(batch_id).touched = books.clock.monotonic()
        books.store.stage_dependencies(books.epoch, batch_id, pairs)

    def publish(self, batch_id: str, request: RequestRow, promise: Quote | None = None) -> None:
        """Make it visible with what was promised of it, and load its clips.

        Raises `NotFound`, `RequestConflict`.
        """
        books, submission = self._books, self._find(batch_id)
        reach("coordinator.publish.before")
        try:
            books.store.publish_batch(books.epoch, books.clock.now(), batch_id, request, promise)
            reach("coordinator.publish.after")
            del self._begun[batch_id]
            if submission.batch.joins:
                joined = submission.batch.joins
                books.load_batch(books.clips.batch(joined) or books.store.batch(joined))
            else:
                books.load_batch(replace(submission.batch, promise=promise))
        except FarmError:
            raise  # the store has said no: nothing was committed
        except BaseException:
            books.read_anew()  # it may be accepted all the same: only the reply was lost
            raise

    def check(self, batch_id: str) -> None:
        """Raise `NotFound` unless this coordinator began it."""
        self._find(batch_id)

    def discard(self, batch_id: str) -> None:
        """Forget it; one that is not there is no error."""
        self._begun.pop(batch_id, None)
        self._books.store.discard_batch(self._books.epoch, batch_id)

    def discard_idle(self, now: float) -> None:
        """Forget those of which nothing more came: their gateway died."""
        limit = self._books.policy.submission_idle_seconds
        for batch_id, submission in list(self._begun.items()):
            if now - submission.touched > limit:
                self.discard(batch_id)

    def _find(self, batch_id: str) -> _Submission:
        if batch_id not in self._begun:
            raise NotFound(f"submission {batch_id} was interrupted by a restart: submit it again")
        return self._begun[batch_id]
