"""What others ask of the coordinator: exchanges, losses, submissions, decisions of people.

Every public call that changes something is one transaction, and returns after it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.coordinator.decisions import Decisions
from farm.coordinator.open_clips import Lease
from farm.coordinator.reports import Reports
from farm.coordinator.submissions import Submissions
from farm.coordinator.why import explain
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import ENDED, Cancelled, ClipState, Leased, Requeued, Work
from farm.domain.errors import NotFound, RequestConflict
from farm.domain.ledger import RequestRow, Totals
from farm.domain.spec import NewClip
from farm.plan.assign import assign
from farm.plan.policy import Policy
from farm.plan.split import pause_seconds, shard_size
from farm.plan.sweep import expired
from farm.ports import Clock, Store
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
        self.books = Books(store, clock, self.policy, h100_seconds_per_frame)
        self._submissions = Submissions(self.books)
        self._decisions = Decisions(self.books)

    @property
    def epoch(self) -> int:
        """Which coordinator this is; every write names it."""
        return self.books.epoch

    # -- cards -----------------------------------------------------------------------------

    def exchange(
        self, requests: Sequence[node_pb.ExchangeRequest]
    ) -> list[node_pb.ExchangeResponse]:
        """Absorb the reports of some cards, lease what they have room for, commit once.

        The responses carry no orders and no URLs: the gateway adds them.
        """
        now = self.clock.monotonic()
        with self.books.transaction():
            responses = [self._absorb(request, now) for request in requests]
            cards = self.books.cards
            online = len(cards.online(now, self.policy.lease_seconds))
            known = cards.known(now, self.policy.card_forgotten_seconds)
            for request, response in zip(requests, responses, strict=True):
                self._lease(request, response, now, online, known)
        return responses

    def _absorb(self, request: node_pb.ExchangeRequest, now: float) -> node_pb.ExchangeResponse:
        """Take in what a card says, and answer each of its reports."""
        books = self.books
        replaced = books.cards.hear(request, now)
        if replaced:
            books.lose_all(request.card.card_id, "its card's agent was started anew")
        response = node_pb.ExchangeResponse(
            verdicts=Reports(books, now).absorb(request),
            lease_seconds=int(self.policy.lease_seconds),
        )
        books.count(frames_rendered=books.cards.count_rendered(request, now))
        return response

    def _lease(
        self,
        request: node_pb.ExchangeRequest,
        response: node_pb.ExchangeResponse,
        now: float,
        online: int,
        known: Collection[str],
    ) -> None:
        """Give a card what it has room for, and tell it all that it should hold.

        `online` counts the cards that are, `known` are those that can be counted on.
        """
        books, card_id = self.books, request.card.card_id
        if not books.cards.is_retired(request.card):
            size = shard_size(
                capacity=request.capacity,
                held=len(books.clips.held_by(card_id)),
                queued=books.clips.queued,
                cards_online=online,
            )
            for clip in assign(card_id, books.clips.in_order(), size=size, cards=known, now=now):
                books.step(clip, Leased(books.cards.holder(card_id)), card_id=card_id)
                expires = now + self.policy.lease_seconds
                books.clips.leases[clip.clip_id] = Lease(expires, started=False)
            response.wanted.extend(
                node_pb.Lease(clip_id=clip.clip_id, attempt=clip.attempt)
                for clip in books.clips.held_by(card_id)
            )
        pause = pause_seconds(
            waiting=len(response.wanted) < request.capacity,
            cards_online=online,
            longest=self.policy.exchange_seconds,
        )
        response.next_exchange_seconds = round(pause)

    def lost(self, card_id: str, incarnation: str, reason: str) -> int:
        """A card's agent died. Returns how many leases were taken back."""
        card = self.books.cards.get(card_id)
        if card is None or card.row.incarnation != incarnation:
            return 0
        with self.books.transaction():
            self.books.cards.gone(card_id)
            return self.books.lose_all(card_id, reason)

    def tick(self) -> int:
        """Take back the leases that have expired, and forget submissions that were left lying.

        Returns how many leases.
        """
        books, now = self.books, self.clock.monotonic()
        self._submissions.discard_idle(now)
        over = expired(list(books.clips.leases.items()), now)
        with books.transaction():
            for clip_id, _ in over:
                clip = books.clips.get(clip_id)
                if clip is not None:
                    books.lose(clip, f"not heard of for {self.policy.lease_seconds:.0f} s")
        return len(over)

    # -- batches ---------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Begin a submission that nobody sees until it is published."""
        self._submissions.begin(batch)

    def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add checked clips to it. Raises `NotFound` when this coordinator did not begin it."""
        self._submissions.stage(batch_id, clips)

    def stage_dependencies(self, batch_id: str, pairs: Sequence[tuple[int, int]]) -> None:
        """Add which of its clips wait for which others, by ordinals. Raises `NotFound`."""
        self._submissions.stage_dependencies(batch_id, pairs)

    def discard(self, batch_id: str) -> None:
        """Forget it."""
        self._submissions.discard(batch_id)

    def publish(self, batch_id: str, request: RequestRow) -> RequestRow:
        """Accept it. The same request again gets its first answer, and leaves no second batch.

        Raises `NotFound`, `RequestConflict` when the request_id was used for another payload.
        """
        self._submissions.check(batch_id)
        if (first := self._answered(request)) is not None:
            self._submissions.discard(batch_id)
            return first
        self._submissions.publish(batch_id, request)
        return request

    def cancel(
        self, batch_id: str, names: Collection[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """Call off a batch, or the clips named; the answer's `result` counts them."""
        if (first := self._answered(request)) is not None:
            return first
        self._check_names(batch_id, names)
        clips = self.store.clips_in_states(batch_id, LIVE, names)
        batch = self.books.clips.batch(batch_id)
        with self.books.transaction():
            if batch is not None and not names:
                decided = replace(batch, state=BatchState.CANCELLED, reason=reason)
                self.books.decide(decided, "cancel", reason)
            for clip in clips:
                self.books.step(clip, Cancelled(reason), detail=reason)
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
        with self.books.transaction():
            if clips and batch.state is BatchState.CANCELLED:
                self.books.decide(replace(batch, state=BatchState.OPEN, reason=""), "reopen")
            elif clips and self.books.clips.batch(batch_id) is None:
                self.books.clips.put_batch(batch)
            for clip in clips:
                self.books.step(clip, Requeued())
            return self._answer(request, len(clips))

    def decide(self, name: str, data: bytes, request: RequestRow) -> RequestRow:
        """Carry out what a serialized message of this name asks; `result` counts what changed.

        Raises `BadDecision`, `NotFound`, `RequestConflict`, and then nothing has changed.
        """
        if (first := self._answered(request)) is not None:
            return first
        apply = self._decisions.prepare(name, data)
        with self.books.transaction():
            return self._answer(request, apply())

    def _check_names(self, batch_id: str, names: Collection[str]) -> None:
        """Raise `NotFound` naming the clips that the batch does not have."""
        find, states = self.store.clips_in_states, tuple(ClipState)
        unknown = [name for name in names if not find(batch_id, states, [name])]
        if unknown:
            raise NotFound(f"batch {batch_id} has no clip {', '.join(unknown)}: see `farm clips`")

    def _answered(self, request: RequestRow) -> RequestRow | None:
        """What a request_id was answered with. Raises `RequestConflict`."""
        first = self.store.request(request.request_id)
        if first is not None and first.digest != request.digest:
            raise RequestConflict(
                f"request {request.request_id} was made before with another content: "
                "use a new request_id"
            )
        return first

    def _answer(self, request: RequestRow, result: int) -> RequestRow:
        answer = replace(request, result=result)
        self.books.pending.requests.append(answer)
        return answer

    # -- the fleet -------------------------------------------------------------------------

    def fleet(self) -> tuple[fleet_pb.GetFleetResponse, list[types_pb.Card]]:
        """The fleet in numbers, and its cards; reads memory only."""
        books, now = self.books, self.clock.monotonic()
        online = books.cards.online(now, self.policy.lease_seconds)
        view = fleet_pb.GetFleetResponse(
            cards=len(books.cards),
            cards_online=len(online),
            rendered_frames_per_second=books.cards.rendered.rate(now),
            delivered_frames_per_second=books.cards.delivered.rate(now),
            h100_equivalents=books.cards.h100.rate(now),
            batches_open=books.clips.batches_open,
            epoch=books.epoch,
        )
        for name in Totals.__dataclass_fields__:
            setattr(view.totals, name, getattr(books.totals, name))
        return view, [
            self._card_view(card, card.row.card_id in online, now) for card in books.cards
        ]

    def _card_view(self, card: Card, online: bool, now: float) -> types_pb.Card:
        held = [clip.clip_id for clip in self.books.clips.held_by(card.row.card_id)]
        standing = self.books.decided.standing_of(card.row, self.clock.now())
        return card.view(online=online, held=held, standing=standing, now=now)

    def why(self, subject: str) -> fleet_pb.WhyResponse:
        """Why a clip, a batch, a card (each by its id) or a node is as it is. Raises `NotFound`."""
        return explain(self.books, subject)
