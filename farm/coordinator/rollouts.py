"""Brings releases and models to the cards: looks by the clock, and tells each card what to run."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace

from farm.coordinator import model_offers
from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.coordinator.sickness import quarantine
from farm.domain.fleet import Standing
from farm.domain.rollout import LOCKED, Change, Kind, Rollout, RolloutState, Step
from farm.plan import rollout as plan
from farm.plan.match import has_model
from farm.plan.rollout import Examined, Seen
from farm.plan.why_fleet import READY
from farm.plan.words import count
from heliostat.v1 import node_service_pb2 as node_pb

OTHER = {Kind.RELEASE: Kind.MODEL, Kind.MODEL: Kind.RELEASE}
_UNCHANGEABLE = (Standing.PAUSED, Standing.DRAINING, Standing.QUARANTINED)


class Rollouts:
    """Over the coordinator's books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._token = secrets.token_hex(16)
        """What nodes ask each other by; another one with each start."""

    def run(self) -> None:
        """Within a transaction: one look at each rollout that goes on."""
        book, finishing = self._books.rollouts, frozenset[str]()
        for kind in Kind:
            rollout = book.active(kind)
            if rollout is not None:
                finishing |= self._look(rollout)
        book.finishing = finishing
        self.lock()

    def lock(self) -> None:
        """Have no new clips go to cards that are being changed."""
        self._books.cards.lock(self._books.rollouts.locks())

    def died(self, card_id: str, incarnation: str) -> None:
        """Within a transaction: an agent died. That of a card that is to run something else may,
        once."""
        books, book = self._books, self._books.rollouts
        for kind in Kind:
            rollout = book.active(kind)
            change = book.changes(rollout.number).get(card_id) if rollout else None
            if rollout is None or change is None:
                continue
            card = books.cards.get(card_id)
            old = card is not None and card.row.incarnation == incarnation
            planned = kind is Kind.RELEASE and old and change.step is Step.SWITCHING
            if change.step in (Step.SWITCHING, Step.EXAMINING) and not planned:
                self.put(replace(change, deaths=change.deaths + 1))

    def answer(self, request: node_pb.ExchangeRequest, response: node_pb.ExchangeResponse) -> None:
        """Tell a card what it should run, and which examination it owes."""
        books, book, card_id = self._books, self._books.rollouts, request.card.card_id
        card = books.cards.get(card_id)
        if not book.all or card is None or books.cards.is_retired(request.card):
            return
        if (release := book.wanted(Kind.RELEASE, card_id)) is not None:
            response.outfit.release = release
        if (digest := book.wanted(Kind.MODEL, card_id)) is not None:
            response.outfit.model_digest = digest
        for kind in Kind:
            rollout = book.active(kind)
            if rollout is None:
                continue
            change = book.changes(rollout.number).get(card_id)
            if change is not None and change.step in (Step.EXAMINING, Step.CHECKING):
                response.examine = change.examination
            if change is not None and change.step is Step.PREPARING:
                response.outfit.release = rollout.target
            if kind is Kind.MODEL:
                offer = model_offers.offer(books, rollout, card, self._token)
                if offer is not None:
                    response.outfit.offer.CopyFrom(offer)

    def python_wanted(self, card: Card) -> str:
        """The interpreter that its agent should run with; empty is its node's own."""
        release = self._books.rollouts.wanted(Kind.RELEASE, card.row.card_id)
        return card.python_of(release) if release is not None else ""

    def about(self, card: Card) -> str:
        """What a card runs that is to be changed, and why it is not yet; empty: nothing."""
        book = self._books.rollouts
        for kind in Kind:
            rollout = book.active(kind)
            if rollout is None or rollout.state not in (RolloutState.ROLLING, RolloutState.DONE):
                continue
            changes = book.changes(rollout.number)
            seen = self.fleet(kind, rollout.target, rollout.number)[card.row.card_id]
            if plan.to_come(rollout, changes, {seen.card_id: seen}):
                change, why = changes.get(seen.card_id), plan.hindrance(seen)
                if change is not None and change.detail:
                    why = f"it failed, {change.detail}"
                waits = f": it {why}" if why else ""
                return f"It runs {rollout.what(seen.runs)}, {rollout.title} is to come{waits}"
        return ""

    def fleet(self, kind: Kind, target: str, number: int = 0) -> dict[str, Seen]:
        """All cards as the plan sees them, by their ids."""
        books = self._books
        changes = books.rollouts.changes(number) if number else {}
        now, needs = books.clock.monotonic(), Needed(books, kind, target)
        return {
            card.row.card_id: self._seen(
                card, kind, target, changes.get(card.row.card_id), needs.why(card), now
            )
            for card in books.cards
        }

    def put(self, change: Change) -> None:
        """Note a card's step."""
        books = self._books
        books.rollouts.put_change(change, books.clock.monotonic())
        books.pending.rollout_cards.append(change)

    def put_rollout(self, rollout: Rollout) -> None:
        """Note a rollout."""
        self._books.rollouts.put(rollout)
        self._books.pending.rollouts.append(rollout)

    def _look(self, rollout: Rollout) -> frozenset[str]:
        """Returns the cards that clips need as they are."""
        books, kind = self._books, rollout.kind
        rollout = self._with_pieces(rollout)
        if self._is_everywhere(rollout):
            return frozenset()
        fleet = self.fleet(kind, rollout.target, rollout.number)
        seen = plan.look(
            rollout,
            books.rollouts.changes(rollout.number),
            fleet,
            books.policy,
            books.clock.now(),
        )
        if seen.rollout != rollout:
            self.put_rollout(seen.rollout)
            if seen.rollout.state is not rollout.state or seen.rollout.reason != rollout.reason:
                note(books, seen.rollout)
        for change in seen.changes:
            self.put(change)
            detail = f"{seen.rollout.title}: {change.step}"
            more = f", {change.detail}" if change.detail else ""
            books.note(change.card_id, "rollout", f"{detail}{more}")
        for card_id, found in seen.sick:
            quarantine(books, card_id, f"failed its examination after it went back: {found}")
        return seen.finishing

    def _is_everywhere(self, rollout: Rollout) -> bool:
        """It is done, and nothing is to do: as most looks, for good, at every card, find it."""
        book = self._books.rollouts
        if rollout.state is not RolloutState.DONE or book.unsettled(rollout):
            return False
        return all(_runs(card, rollout.kind) in ("", rollout.target) for card in self._books.cards)

    def _with_pieces(self, rollout: Rollout) -> Rollout:
        """The first card that has all of a model tells how its pieces are known."""
        if rollout.kind is not Kind.MODEL or rollout.pieces_sha256:
            return rollout
        found = model_offers.pieces_of(self._books, rollout)
        if found:
            rollout = replace(rollout, pieces_sha256=found)
            self.put_rollout(rollout)
        return rollout

    def _seen(
        self, card: Card, kind: Kind, target: str, change: Change | None, needed: str, now: float
    ) -> Seen:
        """`needed` says why it must stay as it is."""
        books, row, told = self._books, card.row, card.examination
        release = kind is Kind.RELEASE
        numbers = (row.examination, told.number, change.examination if change else 0)
        return Seen(
            card_id=row.card_id,
            card_type=row.card_type,
            runs=_runs(card, kind),
            stack_id=row.stack_id,
            here=card.is_here(now, books.policy.lease_seconds),
            silent=now - card.seen,
            closed=self._closed(card, kind),
            unready=_unready(card),
            lacks=_lacks_release(card, target) if release else model_offers.lacks(card, target),
            needed=needed,
            holds=len(books.clips.held_by(row.card_id)),
            ready_for=card.ready_for,
            examined=Examined(
                number=told.number,
                passed=told.passed,
                detail=told.detail,
                stack_id=told.stack_id,
                psnr_db=told.psnr_db if told.HasField("psnr_db") else None,
                equal=told.equal,
            ),
            examination=max(int(books.clock.now()), *(number + 1 for number in numbers)),
            seconds=books.rollouts.seconds(change, now) if change else 0.0,
        )

    def _closed(self, card: Card, kind: Kind) -> str:
        book = self._books.rollouts
        other = book.active(OTHER[kind])
        change = book.changes(other.number).get(card.row.card_id) if other else None
        if other is not None and change is not None and change.step in LOCKED:
            return f"is being changed by {other.title}"
        if card.decided in _UNCHANGEABLE:
            why = f" ({card.decided_reason})" if card.decided_reason else ""
            return f"is {card.decided}{why}"
        return ""


class Needed:
    """Which cards are to stay as they are, for clips that can go on with nothing else."""

    def __init__(self, books: Books, kind: Kind, target: str) -> None:
        self._board = books.clips
        self._working = books.working_cards()
        self._keepers = Counter(facts.bond for facts in self._working.values())
        self._pinned = [
            entry
            for entry in books.clips.entries()
            if kind is Kind.MODEL
            and entry.batch.needs.model
            and entry.open > entry.held
            and not has_model(entry.batch.needs.model, (target,))
        ]

    def why(self, card: Card) -> str:
        """As the end of a sentence that begins with the card; empty: it may be changed.

        Clips that it holds are none: it ends those anyhow.
        """
        for entry in self._pinned:
            if has_model(entry.batch.needs.model, (card.row.model_digest,)):
                clips = count(entry.open - entry.held, "clip")
                return f"is kept for batch {entry.batch.name}, which asks for its model: {clips}"
        runs, card_id = card.facts.bond, card.row.card_id
        begun = self._board.begun.get(runs, 0)
        if not begun or self._keepers[runs] > (card_id in self._working):
            return ""
        begun -= sum(clip.bond == runs for clip in self._board.held_by(card_id))
        if begun <= 0:
            return ""
        return f"is the last one that goes on with {count(begun, 'open clip')} that began so"


def note(books: Books, rollout: Rollout) -> None:
    """Write an event of what was decided of a rollout."""
    reason = f": {rollout.reason}" if rollout.reason else ""
    books.note(f"rollout {rollout.number}", "rollout", f"{rollout.state}{reason}")


def _runs(card: Card, kind: Kind) -> str:
    """Its release, or the digest of its model; empty: it does not say."""
    return card.row.release if kind is Kind.RELEASE else card.row.model_digest


def _unready(card: Card) -> str:
    if card.condition not in ("", READY):
        return f"is not ready: {card.condition}"
    return "" if card.row.stack_id else "has not said yet what it renders with"


def _lacks_release(card: Card, target: str) -> str:
    if card.row.release == target or card.python_of(target):
        return ""
    return f"has no release {target}: `farm-node release add` on its node installs it"
