"""What people decide of batches, and of clips at their first look; the fleet's are beside it.

Each decision is one small method: it checks what is asked on what the books know, and returns what
is then carried out within a transaction. So nothing that is refused has changed anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from farm.coordinator import asked, spending
from farm.coordinator.books import Books
from farm.coordinator.fleet_decisions import Apply, FleetDecisions
from farm.coordinator.retakes import Retakes
from farm.coordinator.rollout_decisions import RolloutDecisions
from farm.coordinator.rollouts import Rollouts
from farm.domain.batch import Batch, BatchState, cancelled
from farm.domain.clip import Approved, Clip, ClipState, Rejected, Steered
from farm.domain.errors import BadDecision, NotFound
from farm.domain.project import Look
from farm.domain.review import Review
from heliostat.v1 import batch_service_pb2 as batch_pb


class Decisions:
    """Decisions over the coordinator's books."""

    def __init__(self, books: Books, rollouts: Rollouts) -> None:
        self._books = books
        self._by_name: Mapping[str, tuple[type[Message], Callable[[Any], Apply]]] = {
            "PauseRequest": (batch_pb.PauseRequest, self._pause),
            "ResumeRequest": (batch_pb.ResumeRequest, self._resume),
            "AmendRequest": (batch_pb.AmendRequest, self._amend),
            "LookRequest": (batch_pb.LookRequest, self._look),
            "ScoreRequest": (batch_pb.ScoreRequest, self._score),
            "RetakeRequest": (batch_pb.RetakeRequest, Retakes(books).prepare),
            "SteerRequest": (batch_pb.SteerRequest, self._steer),
            "ReviewRequest": (batch_pb.ReviewRequest, self._review),
            **FleetDecisions(books).by_name,
            **RolloutDecisions(books, rollouts).by_name,
        }

    def prepare(self, name: str, data: bytes) -> Apply:
        """The decision of a serialized message, checked. Raises `BadDecision`, `NotFound`."""
        kind, method = self._by_name[name]
        return method(kind.FromString(data))

    # -- batches ---------------------------------------------------------------------------

    def _pause(self, request: batch_pb.PauseRequest) -> Apply:
        batch = self._batch(request.batch_id)
        if batch.state is BatchState.CANCELLED:
            raise BadDecision(cancelled(batch))
        reason = request.reason or "paused by request"
        after = replace(batch, state=BatchState.PAUSED, reason=reason)
        return lambda: self._decide(batch, after, "pause", reason)

    def _resume(self, request: batch_pb.ResumeRequest) -> Apply:
        batch = self._batch(request.batch_id)
        if batch.state is BatchState.CANCELLED:
            raise BadDecision(cancelled(batch))
        if over := spending.over_budget(self._books, batch):
            raise BadDecision(over)
        entry = self._books.clips.entry(batch.batch_id)
        failed = entry.failed if entry else batch.failures_forgiven
        after = replace(batch, state=BatchState.OPEN, reason="", failures_forgiven=failed)
        return lambda: self._decide(batch, after, "resume")

    def _amend(self, request: batch_pb.AmendRequest) -> Apply:
        books = self._books
        batch = self._batch(request.batch_id)
        after = asked.amended(batch, request, books.clock.now(), books.decided.limits)
        let_go = batch.first_look and not after.first_look
        held = self._held(batch.batch_id) if let_go else []

        def apply() -> int:
            count = self._decide(batch, after, "amend", _differences(batch, after))
            for clip in held:
                books.step(clip, Approved(), detail="its batch asks for no first look any more")
            return count

        return apply

    def _decide(self, before: Batch, after: Batch, kind: str, detail: str = "") -> int:
        if before == after:
            return 0
        self._books.decide(after, kind, detail)
        self._books.clips.forget_if_empty(after.batch_id)
        return 1

    # -- first look ------------------------------------------------------------------------

    def _look(self, request: batch_pb.LookRequest) -> Apply:
        books = self._books
        batch = self._batch(request.batch_id)
        clips = self._held(batch.batch_id, request.clips)
        looks = books.store.looks(batch.batch_id)
        clips = [clip for clip in clips if _fits(looks.get(clip.clip_id), request)]
        reason = "rejected at its first look" + (f": {request.note}" if request.note else "")

        def apply() -> int:
            for clip in clips:
                if request.approve:
                    books.step(clip, Approved(), detail=request.note)
                else:
                    books.step(clip, Rejected(reason), detail=reason)
                if request.note:
                    before = looks.get(clip.clip_id) or Look(clip_id=clip.clip_id)
                    books.pending.looks.append(replace(before, note=request.note))
            return len(clips)

        return apply

    def _score(self, request: batch_pb.ScoreRequest) -> Apply:
        books = self._books
        batch = self._batch(request.batch_id)
        for name, score in request.scores.items():
            if not math.isfinite(score):
                raise BadDecision(f"the score of clip {name} is {score}: give a number")
        ids = self.ids(batch.batch_id, {*request.scores, *request.notes})
        looks = books.store.looks(batch.batch_id)
        scores, notes = dict(request.scores), dict(request.notes)
        said: dict[str, Look] = {}
        for name, clip_id in ids.items():
            look = said.get(clip_id) or looks.get(clip_id) or Look(clip_id=clip_id)
            said[clip_id] = replace(
                look,
                score=scores.get(name, look.score),
                note=notes.get(name, look.note),
            )

        def apply() -> int:
            books.pending.looks.extend(said.values())
            return len(said)

        return apply

    # -- prompts ---------------------------------------------------------------------------

    def _steer(self, request: batch_pb.SteerRequest) -> Apply:
        books = self._books
        batch, mark = self._batch(request.batch_id), asked.mark_of(request)
        if not request.clips:
            raise BadDecision("the request names no clip: name those that are to follow it")
        ids = self.ids(batch.batch_id, request.clips)
        clips = [
            asked.steerable(clip, mark.chunk)
            for clip_id in sorted(set(ids.values()))
            if (clip := books.clips.get(clip_id) or books.store.clip(clip_id))
        ]
        where = f"chunk {mark.chunk}" if mark.chunk else "the next chunk"

        def apply() -> int:
            for clip in clips:
                books.step(clip, Steered(), detail=f"another prompt from {where} on")
                asked_now = books.steers.ask(clip.clip_id, mark, books.clock.now())
                books.pending.steers.extend(asked_now)
            return len(clips)

        return apply

    def _review(self, request: batch_pb.ReviewRequest) -> Apply:
        books, find = self._books, self._books.store.clips_in_states
        batch_id = self._batch(request.batch_id).batch_id
        ids = dict.fromkeys(request.clips)
        clips = find(batch_id, {ClipState.DONE}, ids) if ids else []
        done = {clip.clip_id: clip for clip in clips}
        if without := [clip_id for clip_id in ids if clip_id not in done]:
            raise BadDecision(asked.not_reviewable(without))
        verdict, at = asked.verdict_of(request), books.clock.now()

        def apply() -> int:
            books.pending.reviews.extend(
                Review(
                    clip_id=clip_id,
                    batch_id=batch_id,
                    verdict=verdict,
                    note=request.note,
                    reviewer=request.reviewer,
                    at=at,
                    attempt=done[clip_id].attempt,
                )
                for clip_id in ids
            )
            return len(ids)

        return apply

    # -- what is asked about ---------------------------------------------------------------

    def _batch(self, batch_id: str) -> Batch:
        return self._books.clips.batch(batch_id) or self._books.store.batch(batch_id)

    def _held(self, batch_id: str, names: Collection[str] = ()) -> list[Clip]:
        """Held clips, all or those of these names or ids. Raises `NotFound` for unknown ones."""
        find = self._books.store.clips_in_states
        if len(find(batch_id, tuple(ClipState), names)) < len(set(names)):
            self.ids(batch_id, names)
        return find(batch_id, {ClipState.HELD}, names)

    def ids(self, batch_id: str, names: Collection[str]) -> dict[str, str]:
        """Name or id → id. Gateways send ids: then it is one query. Raises `NotFound`."""
        find, every = self._books.store.clips_in_states, tuple(ClipState)
        found = {clip.clip_id for clip in find(batch_id, every, names)} if names else set()
        ids = {name: name for name in names if name in found}
        for name in set(names) - ids.keys():
            for clip in find(batch_id, every, [name]):
                ids[name] = clip.clip_id
        if unknown := sorted(set(names) - ids.keys()):
            some = ", ".join(unknown[:10])
            raise NotFound(f"batch {batch_id} has no clip {some}: see `farm clips {batch_id}`")
        return ids


def _fits(look: Look | None, request: batch_pb.LookRequest) -> bool:
    """Whether a clip's score is what a look asks for; one without a score fits no bound."""
    least, below = request.HasField("score_min"), request.HasField("score_below")
    if not (least or below):
        return True
    score = look.score if look else None
    if score is None:
        return False
    return not (least and score < request.score_min) and not (
        below and score >= request.score_below
    )


def _differences(before: Batch, after: Batch) -> str:
    """What an amendment changed, for the batch's history."""
    names = ("priority", "deadline", "order", "failures_max", "needs", "limits", "first_look")
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    return f"changed: {', '.join(changed).replace('_', ' ')}" if changed else ""
