"""The coordinator: the only writer. It absorbs what cards report, decides, and commits.

A plain class: no Ray, no network, no clock of its own. Every public call that changes something
ends in one transaction and returns after it. Should a commit fail, memory is read anew from the
store, which is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from farm.cards import Card, Cards
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import (
    ENDED,
    AttemptLost,
    Cancelled,
    Clip,
    ClipState,
    Event,
    Leased,
    Requeued,
    Work,
    step,
)
from farm.domain.errors import NotFound, RequestConflict
from farm.domain.ledger import BatchChange, ClipChange, Commit, RequestRow, Totals
from farm.domain.spec import NewClip
from farm.open_clips import Lease, OpenClips
from farm.plan.assign import assign
from farm.plan.policy import Policy
from farm.plan.retry import after_loss
from farm.plan.split import pause_seconds, shard_size
from farm.plan.sweep import expired
from farm.ports import Clock, Store
from farm.reports import Reports
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

LIVE = frozenset(ClipState) - ENDED
RETRIABLE = frozenset({ClipState.FAILED, ClipState.CANCELLED})


class Coordinator:
    """Plan and ledger in one process; at most one of them can write, by its epoch."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policy: Policy | None = None,
        h100_seconds_per_frame: Callable[[Work], float] = lambda _work: 0.0,
    ) -> None:
        """Claim the next epoch and load the open clips.

        `h100_seconds_per_frame` says how long the baseline takes for a frame of some work.
        """
        self.policy = policy or Policy()
        self.clock = clock
        self.store = store
        self.epoch = store.claim_epoch(clock.now())
        self._h100_seconds = h100_seconds_per_frame
        self._staged: dict[str, Batch] = {}
        self._staged_at: dict[str, float] = {}
        store.discard_staged(self.epoch)
        self._load()

    def _load(self) -> None:
        """Memory from the store. No lease ends before a full lease time from now (REL-3)."""
        self.clips = OpenClips()
        self.cards = Cards(self.store.cards(), self.clock.monotonic())
        self.totals: Totals = self.store.totals()
        self.pending = Commit()
        expires = self.clock.monotonic() + self.policy.lease_seconds
        for batch in self.store.open_batches():
            self._load_batch(batch, expires)

    def _load_batch(self, batch: Batch, expires: float) -> None:
        self.clips.put_batch(batch)
        for clip in self.store.clips_in_memory(batch.batch_id):
            self.clips.put(clip)
            if clip.state is ClipState.LEASED:
                self.clips.leases[clip.clip_id] = Lease(expires, started=True)
        self.clips.forget_if_empty(batch.batch_id)

    # -- cards -----------------------------------------------------------------------------

    def exchange(
        self, requests: Sequence[node_pb.ExchangeRequest]
    ) -> list[node_pb.ExchangeResponse]:
        """Absorb the reports of some cards, lease what they have room for, commit once.

        The responses carry no orders and no URLs: the gateway adds them.
        """
        now = self.clock.monotonic()
        reports = Reports(self, now)
        responses = [self._absorb(reports, request, now) for request in requests]
        for request, response in zip(requests, responses, strict=True):
            if not self.cards.is_retired(request.card):
                self._lease(request, now)
                response.wanted.extend(self._wanted(request.card.card_id))
            pause = pause_seconds(
                waiting=len(response.wanted) < request.capacity,
                cards_online=len(self.cards),
                longest=self.policy.exchange_seconds,
            )
            response.next_exchange_seconds = round(pause)
        self._flush()
        return responses

    def _absorb(
        self, reports: Reports, request: node_pb.ExchangeRequest, now: float
    ) -> node_pb.ExchangeResponse:
        response = node_pb.ExchangeResponse(lease_seconds=int(self.policy.lease_seconds))
        replaced = self.cards.hear(request, now)
        if replaced:
            self._lose_all(request.card.card_id, "its card's agent was started anew")
        response.verdicts.extend(reports.absorb(request))
        rendered = self.cards.count_rendered(request)
        if rendered:
            self.totals = replace(
                self.totals, frames_rendered=self.totals.frames_rendered + rendered
            )
            self.cards.rendered.add(now, rendered)
        return response

    def _lease(self, request: node_pb.ExchangeRequest, now: float) -> None:
        card = request.card
        # What its card still holds after a yield or a cancel is its own affair: only leases count.
        size = shard_size(
            capacity=request.capacity,
            held=len(self.clips.held_by(card.card_id)),
            queued=self.clips.queued,
            cards_online=len(self.cards.online(now, self.policy.lease_seconds)),
        )
        known = self.cards.known(now, self.policy.card_forgotten_seconds)
        for clip in assign(card.card_id, self.clips.in_order(), size=size, cards=known, now=now):
            self.step(clip, Leased(self.cards.holder(card.card_id)), card_id=card.card_id)
            self.clips.leases[clip.clip_id] = Lease(now + self.policy.lease_seconds, started=False)

    def _wanted(self, card_id: str) -> list[node_pb.Lease]:
        return [
            node_pb.Lease(clip_id=clip.clip_id, attempt=clip.attempt)
            for clip in self.clips.held_by(card_id)
        ]

    def lost(self, card_id: str, incarnation: str, reason: str) -> int:
        """A card's agent died. Returns how many leases were taken back."""
        card = self.cards.get(card_id)
        if card is None or card.row.incarnation != incarnation:
            return 0
        self.cards.gone(card_id)
        count = self._lose_all(card_id, reason)
        self._flush()
        return count

    def tick(self) -> int:
        """Take back the leases that have expired, and forget submissions that were left lying.

        Returns how many leases.
        """
        now = self.clock.monotonic()
        for batch_id, at in list(self._staged_at.items()):
            if now - at > self.policy.submission_idle_seconds:
                self.discard(batch_id)
        over = expired(list(self.clips.leases.items()), now)
        for clip_id, _ in over:
            clip = self.clips.get(clip_id)
            if clip is not None:
                self._lose(clip, f"not heard of for {self.policy.lease_seconds:.0f} s")
        self._flush()
        return len(over)

    def _lose_all(self, card_id: str, reason: str) -> int:
        held = self.clips.held_by(card_id)
        for clip in held:
            self._lose(clip, reason)
        return len(held)

    def _lose(self, clip: Clip, reason: str) -> None:
        now = self.clock.monotonic()
        started = self.clips.leases[clip.clip_id].started
        outcome = after_loss(clip, reason, started=started, now=now, policy=self.policy)
        card_id = clip.holder.card_id if clip.holder else ""
        text = f"card {card_id}: {reason}"
        self.step(clip, AttemptLost(text, outcome, started), detail=text, card_id=card_id)
        if started:
            self.totals = replace(self.totals, attempts_lost=self.totals.attempts_lost + 1)

    # -- batches ---------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Begin a submission that nobody sees until it is published."""
        self.store.stage_batch(self.epoch, batch)
        self._staged[batch.batch_id] = batch
        self._staged_at[batch.batch_id] = self.clock.monotonic()

    def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add checked clips to it. Raises `NotFound` when this coordinator did not begin it."""
        self._submission(batch_id)
        self._staged_at[batch_id] = self.clock.monotonic()
        self.store.stage_clips(self.epoch, batch_id, clips)

    def discard(self, batch_id: str) -> None:
        """Forget it."""
        self._staged.pop(batch_id, None)
        self._staged_at.pop(batch_id, None)
        self.store.discard_batch(self.epoch, batch_id)

    def publish(self, batch_id: str, request: RequestRow) -> RequestRow:
        """Accept it. The same request again gets its first answer, and leaves no second batch.

        Raises `RequestConflict` when the request_id was used for another payload.
        """
        batch = self._submission(batch_id)
        first = self._answered(request)
        if first is not None:
            self.discard(batch_id)
            return first
        self.store.publish_batch(self.epoch, self.clock.now(), batch_id, request)
        del self._staged[batch_id], self._staged_at[batch_id]
        self._load_batch(batch, expires=0.0)
        return request

    def _submission(self, batch_id: str) -> Batch:
        if batch_id not in self._staged:
            raise NotFound(f"submission {batch_id} was interrupted by a restart: submit it again")
        return self._staged[batch_id]

    def cancel(
        self, batch_id: str, names: Collection[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """Call off a batch, or the clips named; the answer's `result` counts them."""
        if (first := self._answered(request)) is not None:
            return first
        self._check_names(batch_id, names)
        clips = self.store.clips_in_states(batch_id, LIVE, names)
        batch = self.clips.batch(batch_id)
        if batch is not None and not names:
            self._decide(
                replace(batch, state=BatchState.CANCELLED, reason=reason), "cancel", reason
            )
        for clip in clips:
            self.step(clip, Cancelled(reason), detail=reason)
        return self._answer(request, len(clips))

    def retry(
        self,
        batch_id: str,
        names: Collection[str],
        states: Collection[ClipState],
        request: RequestRow,
    ) -> RequestRow:
        """Put failed or cancelled clips back into the queue; they go on from their checkpoints."""
        if (first := self._answered(request)) is not None:
            return first
        batch = self.store.batch(batch_id)
        self._check_names(batch_id, names)
        clips = self.store.clips_in_states(batch_id, frozenset(states) & RETRIABLE, names)
        if clips and batch.state is BatchState.CANCELLED:
            batch = replace(batch, state=BatchState.OPEN, reason="")
            self.pending.batches.append(BatchChange(batch, "reopen"))
        if clips and self.clips.batch(batch.batch_id) is None:
            self.clips.put_batch(batch)
        for clip in clips:
            self.step(clip, Requeued())
        return self._answer(request, len(clips))

    def _check_names(self, batch_id: str, names: Collection[str]) -> None:
        """Raise `NotFound` naming the clips that the batch does not have."""
        find, states = self.store.clips_in_states, tuple(ClipState)
        unknown = [name for name in names if not find(batch_id, states, [name])]
        if unknown:
            raise NotFound(f"batch {batch_id} has no clip {', '.join(unknown)}: see `farm clips`")

    def _decide(self, batch: Batch, kind: str, detail: str) -> None:
        self.clips.put_batch(batch)
        self.pending.batches.append(BatchChange(batch, kind, detail))

    def _answered(self, request: RequestRow) -> RequestRow | None:
        first = self.store.request(request.request_id)
        if first is not None and first.digest != request.digest:
            raise RequestConflict(
                f"request {request.request_id} was made before with another content: "
                "use a new request_id"
            )
        return first

    def _answer(self, request: RequestRow, result: int) -> RequestRow:
        answer = replace(request, result=result)
        self.pending.requests.append(answer)
        self._flush()
        return answer

    # -- the fleet -------------------------------------------------------------------------

    def fleet(self) -> tuple[fleet_pb.GetFleetResponse, list[types_pb.Card]]:
        """The fleet in numbers, and its cards; reads memory only."""
        now = self.clock.monotonic()
        online = self.cards.online(now, self.policy.lease_seconds)
        view = fleet_pb.GetFleetResponse(
            cards=len(self.cards),
            cards_online=len(online),
            rendered_frames_per_second=self.cards.rendered.rate(now),
            delivered_frames_per_second=self.cards.delivered.rate(now),
            h100_equivalents=self.cards.h100.rate(now),
            batches_open=self.clips.batches_open,
            epoch=self.epoch,
        )
        for name in Totals.__dataclass_fields__:
            setattr(view.totals, name, getattr(self.totals, name))
        return view, [self._card_view(card, card.row.card_id in online, now) for card in self.cards]

    def _card_view(self, card: Card, online: bool, now: float) -> types_pb.Card:
        held = [clip.clip_id for clip in self.clips.held_by(card.row.card_id)]
        return card.view(online=online, held=held, now=now)

    # -- what reports and decisions do to clips ----------------------------------------------

    def step(self, clip: Clip, event: Event, *, detail: str = "", card_id: str = "") -> Clip:
        """Step a clip in memory, and have it written with the next commit."""
        after = step(clip, event)
        self.clips.put(after)
        if after.state is not ClipState.LEASED:
            self.clips.leases.pop(clip.clip_id, None)
        self.pending.clips.append(ClipChange(clip, after, event.kind, detail, card_id))
        return after

    def h100_seconds(self, clip: Clip) -> float:
        """Seconds that the baseline takes for one frame of a clip."""
        return self._h100_seconds(clip.work)

    def _flush(self) -> None:
        """Commit what is pending; a heartbeat that changed nothing writes nothing."""
        commit, self.pending = self.pending, Commit()
        if not commit:
            return
        commit.totals = self.totals
        commit.cards = self.cards.rows_changed()
        try:
            self.store.commit(self.epoch, self.clock.now(), commit)
        except BaseException:
            self._load()
            raise
