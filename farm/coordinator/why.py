"""Why a clip, a batch, a card or a node is as it is: the facts of the books, told by the plan."""

from __future__ import annotations

from collections import Counter

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.coordinator.dispatch import Dispatch
from farm.coordinator.duties import Duties
from farm.coordinator.rollouts import Rollouts
from farm.coordinator.why_fleet import card_view, node_view
from farm.domain.batch import Batch
from farm.domain.clip import Clip, ClipState
from farm.domain.errors import NotFound
from farm.domain.values import shown
from farm.plan.answers import Answer
from farm.plan.board import Entry
from farm.plan.caps import limit_room, project_room
from farm.plan.deadline import quick_bound, warning
from farm.plan.match import breaks, lacks_profile, unmet
from farm.plan.prospects import Prospects
from farm.plan.why import BatchFacts, ClipFacts, explain_batch, explain_clip
from farm.plan.why_fleet import explain_card, explain_node
from heliostat.v1 import fleet_service_pb2 as fleet_pb

CLOSED_MAX = 5
"""Cards named in an answer."""


class Explainer:
    """Answers one question at a time."""

    def __init__(
        self, books: Books, dispatch: Dispatch, duties: Duties, rollouts: Rollouts
    ) -> None:
        self._books = books
        self._rollouts = rollouts
        self._dispatch = dispatch
        self._duties = duties

    def explain(self, subject: str) -> fleet_pb.WhyResponse:
        """The answer for a clip's, batch's or card's id, or a node's hostname.

        Raises `NotFound`.
        """
        books = self._books
        if (clip := books.clips.get(subject) or books.store.clip(subject)) is not None:
            return _response("clip", subject, explain_clip(self._clip(clip)))
        if (card := books.cards.get(subject)) is not None:
            view = card_view(books, self._dispatch, self._rollouts, card)
            return _response("card", subject, explain_card(view))
        if subject in books.decided.nodes or any(c.row.hostname == subject for c in books.cards):
            return _response(
                "node", subject, explain_node(node_view(books, self._dispatch, subject))
            )
        try:
            batch = books.clips.batch(subject) or books.store.batch(subject)
        except NotFound:
            raise NotFound(
                f"nothing is called {shown(subject)}: name a clip as BATCH/NAME, a batch, a card "
                "of `farm cards` or a node of `farm nodes`"
            ) from None
        return _response("batch", subject, explain_batch(self._batch(batch)))

    def _clip(self, clip: Clip) -> ClipFacts:
        books = self._books
        batch = books.clips.batch(clip.batch_id) or books.store.batch(clip.batch_id)
        entry, lease = books.clips.entry(clip.batch_id), books.clips.leases.get(clip.clip_id)
        card_id = clip.holder.card_id if clip.holder else ""
        queued = entry is not None and clip.state is ClipState.QUEUED
        return ClipFacts(
            name=clip.clip_id,
            batch=batch.batch_id,
            state=clip.state,
            reason=clip.reason,
            batch_state=batch.state,
            batch_reason=batch.reason,
            chunks=clip.chunks,
            chunks_done=clip.chunks_done,
            attempt=clip.attempt,
            card_id=card_id,
            started=lease is None or lease.started or self._is_first(clip, card_id),
            seconds_left=books.clips.units_of(clip) * books.cards.pace(card_id) if lease else None,
            yielding=lease.yield_reason if lease else "",
            waits_for=self._waits_for(clip),
            waits_for_batches=self._waits_for_batches(batch, clip),
            backoff_seconds=max(0.0, clip.not_before - books.clock.monotonic()),
            failed_on=clip.blocked,
            prospects=self._prospects(entry, clip) if queued and entry else None,
            warning=self._warning(entry),
        )

    def _batch(self, batch: Batch) -> BatchFacts:
        books = self._books
        entry = books.clips.entry(batch.batch_id)
        counts = books.store.counts(batch.batch_id)
        holding = {c.holder.card_id for c in self._held(batch) if c.holder is not None}
        paces = [books.cards.pace(card_id) for card_id in holding]
        left = quick_bound(books.clips.units_left(entry), 0.0, paces) if entry and paces else None
        first = next(books.clips.in_order(entry), None) if entry else None
        return BatchFacts(
            name=batch.batch_id,
            state=batch.state,
            reason=batch.reason,
            clips=counts,
            cards=len(holding),
            seconds_left=left,
            waits_for_batches=self._waits_for_batches(batch),
            prospects=self._prospects(entry, first) if entry and first else None,
            warning=self._warning(entry),
        )

    def _held(self, batch: Batch) -> list[Clip]:
        clips = (self._books.clips.get(clip_id) for clip_id in self._books.clips.leases)
        return [clip for clip in clips if clip is not None and clip.batch_id == batch.batch_id]

    def _is_first(self, clip: Clip, card_id: str) -> bool:
        return self._books.clips.held_by(card_id)[:1] == [clip]

    def _waits_for(self, clip: Clip) -> tuple[tuple[str, ClipState], ...]:
        if clip.state is not ClipState.WAITING:
            return ()
        unmet_of = self._books.store.unmet(clip.batch_id).get(clip.ordinal, {})
        return tuple((f"{ordinal:05d}", state) for ordinal, state in sorted(unmet_of.items()))

    def _waits_for_batches(
        self, batch: Batch, clip: Clip | None = None
    ) -> tuple[tuple[str, int], ...]:
        if clip is not None and clip.state is not ClipState.WAITING:
            return ()
        board = self._books.clips
        entries = ((batch_id, board.entry(batch_id)) for batch_id in batch.after)
        return tuple((batch_id, entry.open) for batch_id, entry in entries if entry is not None)

    def _warning(self, entry: Entry | None) -> str:
        if entry is None or entry.batch.deadline is None:
            return ""
        found = self._duties.outlook(entry)
        return warning(found, entry.batch.name) if found else ""

    def _prospects(self, entry: Entry, clip: Clip) -> Prospects:
        """What stands between a queued clip and a card."""
        books, board, batch = self._books, self._books.clips, entry.batch
        now, lease_seconds = books.clock.monotonic(), books.policy.lease_seconds
        known = list(books.cards.counted_on(now, books.policy.card_forgotten_seconds))
        lacking: Counter[str] = Counter()
        matching: list[Card] = []
        able = 0
        for card in known:
            missing = unmet(batch.needs, card.facts, clip.quality)
            able += not missing
            if not missing and (why := breaks(clip.bond, card.facts)):
                missing = (why,)
            lacking.update(missing)
            if not missing:
                matching.append(card)
        here = [c for c in matching if c.is_here(now, lease_seconds)]
        taking = [c for c in here if c.standing.takes_clips]
        closed = [c for c in here if not c.standing.takes_clips][:CLOSED_MAX]
        ahead, units = self._ahead(entry, clip)
        paces = [books.cards.pace(c.row.card_id) for c in taking]
        project = board.project_of(batch)
        others_wait = any(
            e.queued and e.is_open and e.batch.project != project.name for e in board.entries()
        )
        held = len(board.cards_of_project(project.name))
        capped = project_room(project, held, others_wait) <= 0
        limits = board.limits
        return Prospects(
            cards=len(known),
            matching=len(matching),
            here=len(here),
            taking=len(taking),
            idle=sum(c.row.card_id not in board.busy for c in taking),
            lacking=tuple(text for text, _ in lacking.most_common(CLOSED_MAX)),
            batch=batch.batch_id,
            clip=clip.clip_id,
            begun_with=_begun_with(clip) if able and not matching else "",
            begun_cards=tuple(
                card.row.card_id for card in books.cards if not breaks(clip.bond, card.facts)
            )[:CLOSED_MAX],
            pinned=batch.needs.pinned,
            profile_lacks=any(lacks_profile(batch.needs, c.facts, clip.quality) for c in known),
            closed=tuple(
                (
                    c.row.card_id,
                    f"{c.standing}: {c.standing_reason}" if c.standing_reason else c.standing,
                )
                for c in closed
            ),
            project=project.name,
            cap=held if capped else None,
            full_limits=tuple(
                name for name in batch.limits if limit_room(board.limits_used, (name,), limits) <= 0
            ),
            ahead=ahead,
            start_seconds=quick_bound(units, 0.0, paces) if paces and ahead else None,
        )

    def _ahead(self, entry: Entry, clip: Clip) -> tuple[int, float]:
        """Clips that go before a queued one, and the cost of all that is before it."""
        books, board = self._books, self._books.clips
        clips, units = 0, sum(board.units_of(c) for c in self._leased())
        for other in books.lineup.in_order(books.clock.now()):
            if other is entry:
                break
            clips += other.queued
            units += board.units_left(other)
        own = board.ahead_of(clip)
        share = own / entry.queued if entry.queued else 0.0
        return clips + own, units + share * board.units_left(entry)

    def _leased(self) -> list[Clip]:
        board = self._books.clips
        return [clip for clip_id in board.leases if (clip := board.get(clip_id)) is not None]


def _begun_with(clip: Clip) -> str:
    model, versions = clip.bond
    known = (f"model {model[:12]}" if model else "", versions)
    return " and ".join(filter(None, known))


def _response(kind: str, subject: str, found: Answer) -> fleet_pb.WhyResponse:
    return fleet_pb.WhyResponse(
        kind=kind,
        subject=subject,
        answer=found.answer,
        because=found.because,
        remedies=found.remedies,
    )
