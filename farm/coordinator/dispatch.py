"""What a card gets in answer to its exchange: all that it should hold, and what to do with it."""

from __future__ import annotations

from farm.coordinator.books import Books
from farm.coordinator.cards import STANDINGS, Card
from farm.domain.clip import Clip
from farm.domain.fleet import CardFacts, Circuit
from farm.plan.power import may_start
from farm.plan.split import is_fed, pause_seconds, shard_size
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

LOOK_SECONDS = 1.0
"""How old the picture of the fleet may be."""


class Dispatch:
    """Answers one group of exchanges after another."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._online = 0
        self._cards: dict[str, CardFacts] = {}
        self._now = 0.0
        self._looked_at = float("-inf")
        self._roster: tuple[object, int] = (None, 0)

    def open(self, now: float) -> None:
        """Begin a group at `now`, in monotonic seconds.

        The fleet is looked at anew where a card came, went, or may do something else, and
        otherwise once a second: a large one would cost more than the exchanges do.
        """
        books, cards, self._now = self._books, self._books.cards, now
        roster = (cards, cards.roster)
        if roster == self._roster and 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        self._roster, self._looked_at = roster, now
        self._online = len(cards.online(now, books.policy.lease_seconds))
        forgotten = books.policy.card_forgotten_seconds
        self._cards = {card.row.card_id: card.facts for card in cards.counted_on(now, forgotten)}

    def serve(self, request: node_pb.ExchangeRequest, response: node_pb.ExchangeResponse) -> None:
        """Give a card what it has room for, and tell it all that it should hold."""
        books, cards, card_id = self._books, self._books.cards, request.card.card_id
        card = cards.get(card_id)
        if card is not None and not cards.is_retired(request.card):
            finishes = card_id in books.rollouts.finishing and card.decided.takes_clips
            if card.standing.takes_clips or finishes:
                self._lease(card, request.capacity)
            response.wanted.extend(map(self._wanted, books.clips.held_by(card_id)))
            response.standing = STANDINGS[card.standing]
            response.examine = card.row.examination
        pause = pause_seconds(
            waiting=len(response.wanted) < min(request.capacity, request.card.lanes or 1),
            cards_online=self._online,
            longest=books.policy.exchange_seconds,
        )
        response.next_exchange_seconds = round(pause)

    def why_no_power(self, card: Card) -> str:
        """Why a card may not begin now for its circuit's sake; empty: it may, or has begun."""
        books, card_id = self._books, card.row.card_id
        circuit = self._circuit(card)
        if circuit is None or card_id in books.clips.busy:
            return ""
        behind = [
            other
            for other in books.cards
            if (found := self._circuit(other)) is not None and found.name == circuit.name
        ]
        busy = [other for other in behind if other.row.card_id in books.clips.busy]
        return may_start(
            card.facts,
            circuit=circuit,
            busy=[other.facts for other in busy],
            last_start=max((other.started_at for other in behind), default=float("-inf")),
            now=books.clock.monotonic(),
            policy=books.policy,
        )

    def _lease(self, card: Card, capacity: int) -> None:
        """Lease clips to a card as long as it has room for them and would soon be without."""
        books, board, facts = self._books, self._books.clips, card.facts
        pace = books.cards.pace(facts.card_id)
        while True:
            held = board.held_by(facts.card_id)
            size = shard_size(
                capacity=capacity,
                held=len(held),
                queued=board.queued,
                cards_online=self._online,
            )
            if size <= 0 or self._is_fed(held, facts, pace) or self.why_no_power(card):
                return
            clip = self._choose(card, pace)
            if clip is None:
                return
            if not held:
                card.started_at = self._now
            books.lease(clip, facts.card_id)

    def _choose(self, card: Card, pace: float) -> Clip | None:
        """Its next clip. A card that is to be changed, but that clips need as it is, does those
        first; while it is locked, it does nothing else."""
        books, facts = self._books, card.facts
        choose, unix_now = books.chooser, books.clock.now()
        if facts.card_id in books.rollouts.finishing:
            found = choose.begun(facts, cards=self._cards, now=self._now, unix_now=unix_now)
            if found is not None or not card.standing.takes_clips:
                return found
        return choose.choose(facts, cards=self._cards, pace=pace, now=self._now, unix_now=unix_now)

    def _is_fed(self, held: list[Clip], facts: CardFacts, pace: float) -> bool:
        board = self._books.clips
        return is_fed(
            units_held=[board.units_of(clip) for clip in held],
            chunk_units=max((board.cost(clip.work) for clip in held), default=0.0),
            pace=pace if facts.pace > 0 else 0.0,
            lanes=facts.lanes,
            round_trip_seconds=self._books.policy.round_trip_seconds,
        )

    def _wanted(self, clip: Clip) -> node_pb.Lease:
        board = self._books.clips
        batch = board.batch(clip.batch_id)
        looks = batch is not None and batch.first_look and clip.chunks_done == 0
        return node_pb.Lease(
            clip_id=clip.clip_id,
            attempt=clip.attempt,
            yield_asked=bool(board.leases[clip.clip_id].yield_reason),
            chunks_max=1 if looks else 0,
            steers=[
                types_pb.PromptMark(
                    chunk=steer.mark.chunk,
                    prompt=steer.mark.prompt,
                    blend_chunks=steer.mark.blend_chunks,
                    number=steer.number,
                )
                for steer in self._books.steers.of(clip.clip_id)
            ],
        )

    def _circuit(self, card: Card) -> Circuit | None:
        decided = self._books.decided
        node = decided.nodes.get(card.row.hostname)
        return decided.circuits.get(node.circuit) if node is not None else None
