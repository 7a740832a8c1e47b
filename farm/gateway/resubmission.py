"""A submission into a batch that is there: what is new, and what is as before.

Rows are compared with the latest versions of their clips. What is the same is dropped; the rest
gets places after the batch's last clip, which the ledger holds it to when it is published.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from farm.domain.batch import Batch, BatchState, cancelled
from farm.domain.errors import AmbiguousName, BadDecision, NotFound
from farm.domain.names import folded
from farm.domain.saved_look import look_for
from farm.domain.spec import NewClip, Origin, Problem
from farm.domain.values import shown
from farm.domain.versions import named
from farm.ports import Ledger
from heliostat.v1 import batch_service_pb2 as batch_pb

_OF_TARGET: Final = (
    "project", "priority", "deadline", "needs", "limits", "after", "first_look", "every",
    "failures_max", "output", "webhook", "budget", "look", "deliver_to",
)  # fmt: skip
"""What a batch has had since it was submitted: a resubmission may only leave it out."""

PROBLEMS_MAX: Final = 1_000


class Resubmission:
    """The batch that a submission adds to, and what becomes of each row."""

    def __init__(self, ledger: Ledger, target: Batch) -> None:
        """Raises `BadDecision` where the target's look is there no more."""
        self.target = target
        self.unchanged = 0
        self.changed = 0
        known = {look.name: look for look in ledger.saved_looks()}
        self.look = look_for(target.look, "", target.project, known)
        """What its rows keep to."""
        self._ledger = ledger
        self._versions = ledger.versions(target.batch_id)
        self._spelled = {folded(name): name for name in self._versions}
        self._base = ledger.last_ordinal(target.batch_id)
        self._places = array("I")
        """By a row's place in the submission, from 0 on: its clip's place in the target."""
        self._staged = 0
        self._seen = 0
        """Rows whose clips were there before."""

    @property
    def missing(self) -> int:
        """Clips of which no row speaks; they stay."""
        return len(self._versions) - self._seen

    @property
    def clips(self) -> int:
        """Rows that become clips: next versions and new ones."""
        return self._staged

    def batch(self, batch_id: str, created_at: float) -> Batch:
        """What is staged under an id of its own until it joins the target."""
        target = self.target
        return replace(target, batch_id=batch_id, joins=target.batch_id, created_at=created_at)

    def versions_of(self, clips: Sequence[NewClip], problems: list[Problem]) -> list[NewClip]:
        """A block of checked rows without those that are as they were. Reads the ledger."""
        latest = self._ledger.latest(self.target.batch_id, [clip.name for clip in clips])
        made = []
        for clip in clips:
            before = latest.get(clip.name)
            if before is not None:
                self._seen += 1
                if before.spec == clip.spec:
                    self.unchanged += 1
                    self._places.append(before.clip.ordinal)
                    continue
                self.changed += 1
                origin = Origin("retake", before.clip.clip_id)
                version = before.version + 1
                clip = named(replace(clip, version=version, origin=origin), self.target)
            elif len(problems) < PROBLEMS_MAX and (spelled := self._spelled.get(folded(clip.name))):
                problems.append(_too_much_like(clip, spelled, self.target))
            self._staged += 1
            self._places.append(self._base + self._staged)
            made.append(replace(clip, ordinal=self._base + self._staged))
        return made

    def dependencies(
        self, blocks: Iterator[list[tuple[int, int]]]
    ) -> Iterator[list[tuple[int, int]]]:
        """Who waits for whom, by places in the target; a clip that is as before waits no more."""
        for pairs in blocks:
            placed = ((self._places[one - 1], self._places[on - 1]) for one, on in pairs)
            yield [pair for pair in placed if pair[0] > self._base]


def find_target(
    header: batch_pb.SubmitHeader, ledger: Ledger
) -> tuple[Resubmission | None, list[Problem]]:
    """What a header resubmits, or why that cannot be."""
    name = header.resubmit_of
    try:
        target = ledger.find_batch(name)
    except (NotFound, AmbiguousName) as error:
        what, _, remedy = str(error).partition(": ")
        return None, [Problem(0, "BATCH", what, remedy or "see `farm status` for the batches")]
    if target.state is BatchState.CANCELLED:
        what, _, remedy = cancelled(target).partition(": ")
        return None, [Problem(0, "BATCH", what, remedy)]
    problems = [
        Problem(
            0,
            f"--{field.replace('_', '-')}",
            f"batch {target.batch_id} keeps its {field.replace('_', ' ')}",
            f"leave it out, `farm amend {target.batch_id}` changes what can be changed",
        )
        for field in _OF_TARGET
        if _is_said(header, field) and not _is_same(header, field, target)
    ]
    try:
        return Resubmission(ledger, target), problems
    except BadDecision as bad:
        what, _, remedy = str(bad).partition(": ")
        return None, [*problems, Problem(0, "BATCH", what, remedy)]


def _is_said(header: batch_pb.SubmitHeader, field: str) -> bool:
    return field in {known.name for known, _ in header.ListFields()}


def _is_same(header: batch_pb.SubmitHeader, field: str, target: Batch) -> bool:
    """Plain fields that say what the batch has anyway."""
    plain = ("project", "priority", "first_look", "failures_max", "output", "webhook", "look")
    return field in plain and getattr(header, field) == getattr(target, field)


def _too_much_like(clip: NewClip, spelled: str, target: Batch) -> Problem:
    return Problem(
        clip.row,
        "id",
        f"the id {shown(clip.name)} is too much like {shown(spelled)} of batch {target.batch_id}",
        "spell it as it was, or give the row an id that differs in more than case",
    )
