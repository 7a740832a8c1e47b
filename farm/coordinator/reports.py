"""What cards report: each outbox entry becomes a step of its clip, and a verdict.

Entries may come twice, late, or out of order; every one is answered so that its card knows whether
to forget it, to report it again, or to drop the work.
"""

from __future__ import annotations

from collections.abc import Callable

from farm.coordinator import rendered, spending, usage
from farm.coordinator.artifacts import KINDS, check_shape
from farm.coordinator.books import Books
from farm.coordinator.sickness import after_report
from farm.domain.clip import (
    CHUNK_FRAMES,
    AttemptFailed,
    ChunkRecorded,
    Clip,
    ClipState,
    Finished,
    GateReached,
    Holder,
    Yielded,
)
from farm.domain.errors import InvalidTransition
from farm.domain.ledger import ChunkRow, StoredObject, TakeRow
from farm.domain.spec import PromptMark
from farm.plan.retry import Failure, after_failure
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

RECORDED = node_pb.Verdict.OUTCOME_RECORDED
STALE = node_pb.Verdict.OUTCOME_STALE
LATER = node_pb.Verdict.OUTCOME_LATER

Answer = tuple["node_pb.Verdict.Outcome.ValueType", str]
"""What becomes of an entry, with the reason where it is not recorded."""

FAILURES = {
    types_pb.FAILURE_CLASS_UNSPECIFIED: Failure.NODE,
    types_pb.FAILURE_CLASS_INPUT: Failure.INPUT,
    types_pb.FAILURE_CLASS_OUT_OF_MEMORY: Failure.OUT_OF_MEMORY,
    types_pb.FAILURE_CLASS_NODE: Failure.NODE,
    types_pb.FAILURE_CLASS_STORAGE: Failure.STORAGE,
    types_pb.FAILURE_CLASS_STALL: Failure.STALL,
}


class Reports:
    """Absorbs the reports of one group of exchanges."""

    def __init__(self, books: Books, now: float) -> None:
        self._books = books
        self._now = now

    def absorb(self, request: node_pb.ExchangeRequest) -> list[node_pb.Verdict]:
        """Renew the leases of what is held, and answer every outbox entry, in order."""
        holder = Holder(request.card.card_id, request.card.incarnation)
        for held in request.held:
            self._renew(holder, held)
        verdicts = []
        for entry in request.outbox:
            outcome, reason = self._settle(holder, request.card, entry)
            if outcome == STALE:
                self._books.count(stale_reports=1)
            verdicts.append(
                node_pb.Verdict(sequence=entry.sequence, outcome=outcome, reason=reason)
            )
        return verdicts

    def _renew(self, holder: Holder, held: node_pb.HeldAttempt) -> None:
        board = self._books.clips
        clip = board.get(held.clip_id)
        if clip is None or clip.attempt != held.attempt or clip.holder != holder:
            return
        lease = board.leases[clip.clip_id]
        lease.expires = self._now + self._books.policy.lease_seconds
        if held.started and not lease.started:
            lease.since = self._now
        lease.started = lease.started or held.started

    def _settle(
        self, holder: Holder, card: node_pb.CardReport, entry: node_pb.OutboxEntry
    ) -> Answer:
        clip = self._books.clips.get(entry.clip_id)
        if clip is None or clip.attempt != entry.attempt or clip.holder != holder:
            return self._settle_late(holder, entry)
        steps: dict[str | None, Callable[[], Answer]] = {
            "chunk": lambda: self._chunk(clip, card, entry.chunk),
            "take": lambda: self._take(clip, card, entry.take),
            "failure": lambda: self._failure(clip, card, entry.failure),
            "yielded": lambda: self._yielded(clip, card),
        }
        settle = steps.get(entry.WhichOneof("what"))
        if settle is None:
            return STALE, "a report of a kind unknown here"
        try:
            check_shape(entry)
            return settle()
        except (InvalidTransition, ValueError) as error:
            return STALE, str(error)  # a node's mistake must not stop the others' reports

    def _settle_late(self, holder: Holder, entry: node_pb.OutboxEntry) -> Answer:
        """An entry without a lease: either it was recorded before, or its work is not wanted."""
        clip = self._books.store.clip(entry.clip_id)
        done = clip is not None and clip.state is ClipState.DONE
        if clip is not None and done and clip.attempt == entry.attempt and clip.holder == holder:
            return RECORDED, ""
        return STALE, "the attempt is no longer this card's"

    def _chunk(self, clip: Clip, card: node_pb.CardReport, report: node_pb.ChunkReport) -> Answer:
        if report.chunk < clip.chunks_done:
            return RECORDED, ""
        if report.chunk > clip.chunks_done:
            return LATER, f"chunk {clip.chunks_done} comes first"
        books = self._books
        recorded = ChunkRecorded(report.chunk, card.model_digest, card.stack_id)
        after = books.step(clip, recorded, card_id=card.card_id)
        lease = books.clips.leases[clip.clip_id]
        lease.started, lease.since = True, self._now
        self._measure(after, card.card_id, report)
        rendered.recorded(books, after, card.card_id)
        books.strikes.clear(card.card_id)
        books.pending.chunks.append(
            ChunkRow(
                clip_id=clip.clip_id,
                chunk=report.chunk,
                attempt=clip.attempt,
                card_id=card.card_id,
                frames=report.frames,
                render_seconds=report.render_seconds,
                encode_seconds=report.encode_seconds,
                objects=tuple(_stored(artifact) for artifact in report.artifacts),
                energy_joules=report.energy_joules if report.HasField("energy_joules") else None,
                lanes=report.lanes or 1,
                steered=tuple(
                    PromptMark(mark.chunk, mark.prompt, mark.blend_chunks)
                    for mark in report.steered
                ),
                profile=report.profile,
            )
        )
        books.pending.steers += books.steers.follow(clip.clip_id, report.changes, report.chunk)
        batch = books.clips.batch(clip.batch_id)
        if batch is not None and batch.first_look and after.chunks_done == 1:
            books.step(after, GateReached(), detail="waits for a first look")
        books.count(chunks_recorded=1)
        books.cards.h100.add(self._now, CHUNK_FRAMES * books.h100_seconds(clip))
        spending.pause_at_budgets(books, clip.batch_id)
        return RECORDED, ""

    def _measure(self, clip: Clip, card_id: str, report: node_pb.ChunkReport) -> None:
        """What a recorded chunk says of its card's speed, and what it cost.

        Its seconds are the card's for it alone, an even part of its round's; encoding goes on
        beside the next chunk, and takes none.
        """
        books, cost = self._books, self._books.clips.cost(clip.work)
        joules = report.energy_joules if report.HasField("energy_joules") else None
        books.cards.rendered_chunk(card_id, report.render_seconds, cost)
        books.timings.chunk(
            clip.clip_id,
            card_id,
            self._now,
            seconds=report.render_seconds,
            cost=cost,
            lanes=report.lanes or 1,
            joules=joules,
            ends=not clip.chunks_left,
        )
        spending.chunk(
            books,
            clip,
            card_id,
            seconds=report.render_seconds,
            joules=joules,
            lanes=report.lanes or 1,
        )

    def _take(self, clip: Clip, card: node_pb.CardReport, report: node_pb.TakeReport) -> Answer:
        if clip.chunks_done < clip.chunks:
            return LATER, f"chunk {clip.chunks_done} comes first"
        books = self._books
        if report.frames != clip.frames:
            text = f"the take has {report.frames} frames instead of {clip.frames}"
            failure = node_pb.FailureReport(failure_class=types_pb.FAILURE_CLASS_NODE, message=text)
            self._failure(clip, card, failure)
            return STALE, text
        missed = books.steers.miss(clip.clip_id)
        detail = "a change of prompt came too late for its last chunk" if missed else ""
        books.timings.take(clip.clip_id, self._now)
        books.step(clip, Finished(), detail=detail, card_id=card.card_id)
        books.pending.steers += missed
        books.pending.takes.append(
            TakeRow(
                clip_id=clip.clip_id,
                attempt=clip.attempt,
                card_id=card.card_id,
                frames=report.frames,
                model_digest=card.model_digest,
                stack_id=report.stack_id or card.stack_id,
                video=_stored(report.video),
                sidecar=_stored(report.sidecar),
            )
        )
        books.count(
            frames_delivered=clip.frames,
            clips_delivered=1,
            bytes_delivered=report.video.size_bytes,
        )
        usage.delivered(books, clip)
        books.cards.delivered.add(self._now, clip.frames)
        return RECORDED, ""

    def _failure(
        self, clip: Clip, card: node_pb.CardReport, report: node_pb.FailureReport
    ) -> Answer:
        books = self._books
        failure = FAILURES.get(report.failure_class, Failure.NODE)
        outcome = after_failure(
            clip,
            failure,
            report.message,
            card_id=card.card_id,
            cards=books.candidates(clip, self._now),
            now=self._now,
            policy=books.policy,
        )
        text = f"card {card.card_id}: {failure}: {report.message}"
        lease = books.clips.leases.get(clip.clip_id)
        spending.wasted(books, clip, lease, card.card_id, self._now)
        event = AttemptFailed(
            text,
            outcome,
            at_fault=failure is Failure.INPUT,
            of_storage=failure is Failure.STORAGE,
        )
        books.step(clip, event, detail=text, card_id=card.card_id)
        books.count(attempts_failed=1)
        if failure is Failure.OUT_OF_MEMORY:
            books.keep_for_roomier(clip, card.card_id, self._now)
        after_report(books, clip, card.card_id, failure, report.message, self._now)
        return RECORDED, ""

    def _yielded(self, clip: Clip, card: node_pb.CardReport) -> Answer:
        reason = self._books.clips.leases[clip.clip_id].yield_reason
        self._books.step(clip, Yielded(), detail=reason, card_id=card.card_id)
        return RECORDED, ""


def _stored(artifact: types_pb.Artifact) -> StoredObject:
    return StoredObject(
        kind=KINDS[artifact.kind],
        key=artifact.key,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
    )
