"""What others ask of the coordinator: exchanges, losses, submissions, decisions of people.

Every public call that changes something is one transaction, and returns after it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from farm.coordinator import rendered
from farm.coordinator.books import Books, Unmet
from farm.coordinator.cards import Card
from farm.coordinator.decisions import Decisions
from farm.coordinator.dispatch import Dispatch
from farm.coordinator.duties import Duties
from farm.coordinator.notices import Notices
from farm.coordinator.overview import earnings, overview
from farm.coordinator.picture import draw
from farm.coordinator.questions import Questions
from farm.coordinator.reports import Reports
from farm.coordinator.rollout_views import active_views
from farm.coordinator.rollouts import Rollouts
from farm.coordinator.submissions import Submissions
from farm.coordinator.why import Explainer
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import ENDED, Cancelled, Clip, ClipState, Requeued, Work
from farm.domain.errors import ChunksReleased, RequestConflict
from farm.domain.ledger import Released, RequestRow
from farm.domain.notices import Notice, NoticeOutcome
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.plan.picture import Picture
from farm.plan.policy import Policy
from farm.plan.tariff import Tariff
from farm.ports import Clock, Store
from heliostat.traces import Spans
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
        tariff: Tariff = Tariff(),  # noqa: B008 - frozen
    ) -> None:
        """Claim the next epoch and load the open clips.

        `h100_seconds_per_frame` says how long the baseline takes for a frame of some work;
        by `tariff` batches are charged.
        """
        self.policy = policy or Policy()
        self.clock = clock
        self.store = store
        self.books = Books(store, clock, self.policy, h100_seconds_per_frame, tariff)
        self._submissions = Submissions(self.books)
        self._rollouts = Rollouts(self.books)
        self._decisions = Decisions(self.books, self._rollouts)
        self._dispatch = Dispatch(self.books)
        self._duties = Duties(self.books, self._rollouts)
        self._notices = Notices(self.books)
        self._questions = Questions(self.books.epoch)

    def trace(self, spans: Spans) -> None:
        """Tell spans of clips from now on."""
        self.books.journal.spans = spans

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
            reports = Reports(self.books, now)
            responses = [self._absorb(request, reports, now) for request in requests]
            self.books.settle()
            self._dispatch.open(now)
            for request, response in zip(requests, responses, strict=True):
                self._dispatch.serve(request, response)
                self._rollouts.answer(request, response)
        return responses

    def _absorb(
        self, request: node_pb.ExchangeRequest, reports: Reports, now: float
    ) -> node_pb.ExchangeResponse:
        """Take in what a card says, and answer each of its reports."""
        books, cards = self.books, self.books.cards
        replaced = cards.hear(request, now, self.clock.now())
        if replaced:
            books.lose_all(request.card.card_id, "its card's agent was started anew")
            rendered.forgotten(books, request.card.card_id)
        response = node_pb.ExchangeResponse(
            verdicts=reports.absorb(request),
            lease_seconds=int(self.policy.lease_seconds),
        )
        rendered.heard(books, request, now)
        self._questions.absorb(request.card.card_id, request.logs)
        response.logs.extend(self._questions.of(request.card.card_id, now))
        return response

    def lost(self, card_id: str, incarnation: str, reason: str, *, for_good: bool = False) -> int:
        """A card's agent died. Returns how many leases were taken back.

        `for_good`: whatever is still heard of it, it is about to end.
        """
        card = self.books.cards.get(card_id)
        if card is None or card.row.incarnation != incarnation:
            with self.books.transaction():
                self._rollouts.died(card_id, incarnation)
            return 0
        with self.books.transaction():
            self._rollouts.died(card_id, incarnation)
            self.books.cards.gone(card_id, for_good=for_good)
            return self.books.lose_all(card_id, reason)

    def tick(self) -> int:
        """Do what is due by the clock (`duties`), and forget submissions that were left lying.

        Returns how many leases have expired.
        """
        with self.books.stats.tick(self.clock.monotonic):
            self._submissions.discard_idle(self.clock.monotonic())
            with self.books.transaction(counters=True):
                return self._duties.run()

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

    def publish(
        self, batch_id: str, request: RequestRow, promise: Quote | None = None
    ) -> RequestRow:
        """Accept it, with what was quoted of it.

        The same request again gets its first answer, and leaves no second batch.
        Raises `NotFound`, `RequestConflict` when the request_id was used for another payload.
        """
        self._submissions.check(batch_id)
        if (first := self._answered(request)) is not None:
            self._submissions.discard(batch_id)
            return first
        self._submissions.publish(batch_id, request, promise)
        return request

    def cancel(
        self, batch_id: str, names: Collection[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """Call off a batch, or the clips named; the answer's `result` counts them."""
        if (first := self._answered(request)) is not None:
            return first
        self._decisions.ids(batch_id, names)
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
        """Put failed or cancelled clips back into the queue; they go on from their checkpoints.

        Raises `BadDecision` where one depends on a clip that has no take and is not retried.
        """
        if (first := self._answered(request)) is not None:
            return first
        batch = self.store.batch(batch_id)
        self._decisions.ids(batch_id, names)
        clips = self._with_chunks(
            self.store.clips_in_states(batch_id, frozenset(states) & RETRIABLE, names)
        )
        unmet = self.books.unmet(batch, clips)
        with self.books.transaction():
            if clips:
                self._requeue(batch, clips, unmet)
            return self._answer(request, len(clips))

    def _requeue(self, batch: Batch, clips: list[Clip], unmet: Unmet) -> None:
        books = self.books
        waiting = books.wait(batch, clips, unmet)
        if books.clips.batch(batch.batch_id) is None:
            books.put_batch(batch)
        left = books.clips.forget_failures(
            batch.batch_id, sum(clip.state is ClipState.FAILED for clip in clips)
        )
        after = replace(batch, failures_forgiven=min(batch.failures_forgiven, left))
        if batch.state is BatchState.CANCELLED:
            after = replace(after, state=BatchState.OPEN, reason="")
        if after != batch:
            books.decide(after, "reopen" if after.state is not batch.state else "retry")
        for clip in clips:
            books.step(clip, Requeued(waiting=clip.clip_id in waiting))

    def decide(self, name: str, data: bytes, request: RequestRow) -> RequestRow:
        """Carry out what a serialized message of this name asks; `result` counts what changed.

        Raises `BadDecision`, `NotFound`, `RequestConflict`, and then nothing has changed.
        """
        if (first := self._answered(request)) is not None:
            return first
        apply = self._decisions.prepare(name, data)
        with self.books.transaction():
            answer = self._answer(request, apply())
            self.books.settle_standings()
            return answer

    def release(self, chunks_before: float, events_before: float, limit: int) -> Released:
        """Let go of chunks and events that ended long ago; see `Store.release`.

        Memory holds nothing of them.
        """
        return self.store.release(
            self.epoch,
            self.clock.now(),
            chunks_before=chunks_before,
            events_before=events_before,
            limit=limit,
        )

    def _with_chunks(self, clips: list[Clip]) -> list[Clip]:
        """Those that can go on. Raises `ChunksReleased` when there are clips, but no such ones."""
        released = self.store.released([clip.clip_id for clip in clips])
        left = [clip for clip in clips if clip.clip_id not in released]
        if released and not left:
            raise ChunksReleased(
                f"{len(released)} clips ended so long ago that their chunks were let go: "
                "submit them again"
            )
        return left

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

    def notices(self, outcomes: Sequence[NoticeOutcome]) -> list[Notice]:
        """Note what became of some notices; returns those that are to be sent next."""
        with self.books.transaction():
            return self._notices.exchange(outcomes)

    # -- the fleet -------------------------------------------------------------------------

    def fleet(self) -> tuple[fleet_pb.GetFleetResponse, list[types_pb.Card]]:
        """The fleet in numbers, and its cards; reads memory only, and how full the disk is."""
        books, now = self.books, self.clock.monotonic()
        online = books.cards.online(now, self.policy.lease_seconds)
        earning = earnings(books, online)
        view = overview(books, self._duties, online, earning, now)
        view.rollouts.extend(active_views(books, self._rollouts))
        return view, [
            self._card_view(card, card.row.card_id in online, earning, now) for card in books.cards
        ]

    def _card_view(
        self, card: Card, online: bool, earning: Mapping[str, float], now: float
    ) -> types_pb.Card:
        card_id, node = card.row.card_id, self.books.decided.nodes.get(card.row.hostname)
        held = [clip.clip_id for clip in self.books.clips.held_by(card_id)]
        return card.view(
            online=online,
            held=held,
            circuit=node.circuit if node is not None else "",
            calibrated=earning.get(card_id, 0.0),
            python_wanted=self._rollouts.python_wanted(card),
            now=now,
        )

    def picture(self) -> Picture:
        """What a quote is made from; reads memory only."""
        return draw(self.books)

    def ask_logs(self, question: node_pb.LogQuestion, cards: Sequence[str]) -> int:
        """Ask cards for lines of their logs; see `Questions.ask`."""
        return self._questions.ask(question, cards, self.clock.monotonic())

    def log_answers(self, number: int) -> Mapping[str, node_pb.LogPage]:
        """What they have answered so far, by card."""
        return self._questions.answers(number)

    def why(self, subject: str) -> fleet_pb.WhyResponse:
        """Why a clip, a batch, a card (each by its id) or a node is as it is. Raises `NotFound`."""
        explainer = Explainer(self.books, self._dispatch, self._duties, self._rollouts)
        return explainer.explain(subject)
