"""The cards as the coordinator hears of them: who is online, in which incarnation, how fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from farm.coordinator.card_meter import CardMeter
from farm.domain.clip import Holder
from farm.domain.fleet import CardFacts, Node, Standing, rack_of, stricter
from farm.domain.hours import Hours
from farm.domain.ledger import CardRow
from farm.plan.rates import RateMeter
from farm.plan.speed import Paces
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

STANDINGS = {each: types_pb.Standing.Value(f"STANDING_{each.name}") for each in Standing}
"""Ours → the contract's number."""

LEAVING = "its node leaves the farm"
"""The condition by which an agent says so, and then the reason for its standing."""
RETIRED_MAX = 10_000
"""Incarnations remembered as gone, over all cards."""
PACE_KEPT = 0.05
"""A card's pace is written down anew when it has changed by more than this part."""


@dataclass(slots=True)
class Card:
    """A card, as it was last heard of."""

    row: CardRow
    facts: CardFacts
    seen: float
    """Monotonic seconds; for a card not heard of yet, when this coordinator started."""
    condition: str = ""
    """As it says itself: "ready", or why it takes no clips."""
    online: bool = False
    """False until it is heard of, and after its agent died."""
    capacity: int = 0
    """Clips that it could hold when it was last heard of."""
    telemetry: types_pb.CardTelemetry = field(default_factory=types_pb.CardTelemetry)
    examination: node_pb.Examination = field(default_factory=node_pb.Examination)
    """The last one that it reported."""
    holding: node_pb.ModelHolding = field(default_factory=node_pb.ModelHolding)
    """What its node has of a model that it was offered."""
    ready_for: str = ""
    """The release for which it has rendered its golden chunk."""
    said: bytes = b""
    """Its last report of itself, to see at once that nothing has changed."""
    standing: Standing = Standing.OPEN
    """The stricter of its own and its node's, its node's schedule counted in; at least locked while
    a rollout changes it."""
    standing_reason: str = ""
    decided: Standing = Standing.OPEN
    """The same without rollouts."""
    decided_reason: str = ""
    started_at: float = float("-inf")
    """Monotonic seconds at which it last went from idle to work."""
    clock_ahead: float | None = None
    """Seconds by which its clock was ahead when it was last heard of, at least: what it said may
    have been under way for a while."""
    rendered: RateMeter = field(init=False)
    meter: CardMeter = field(init=False)

    def __post_init__(self) -> None:
        self.rendered = RateMeter(self.seen)
        self.meter = CardMeter(self.row.frames_open)

    def is_here(self, now: float, seconds: float) -> bool:
        """Heard of within the last `seconds`, and not known to be dead."""
        return self.online and now - self.seen <= seconds

    def view(
        self,
        *,
        online: bool,
        held: Sequence[str],
        circuit: str,
        calibrated: float,
        python_wanted: str,
        now: float,
    ) -> types_pb.Card:
        """The card for operators; `calibrated` are the frames a second that it should render."""
        row = self.row
        return types_pb.Card(
            card_id=row.card_id,
            node_id=row.node_id,
            hostname=row.hostname,
            slot=row.slot,
            device=row.device,
            vram_bytes=row.vram_bytes,
            renderer=row.renderer,
            model_digest=row.model_digest,
            stack_id=row.stack_id,
            incarnation=row.incarnation,
            online=online,
            seen_seconds_ago=now - self.seen,
            clip_ids=held,
            frames_per_second=self.rendered.rate(now),
            telemetry=self.telemetry,
            condition=self.condition,
            card_type=row.card_type,
            tags=row.tags,
            profile=next(iter(row.profiles), ""),
            models=row.models,
            lanes=row.lanes,
            power_cap_watts=row.power_cap_watts,
            standing=STANDINGS[self.standing],
            standing_reason=self.standing_reason,
            pace=row.pace,
            profiles=row.profiles,
            rack=rack_of(row.tags),
            circuit=circuit,
            clock_ahead_seconds=self.clock_ahead,
            calibrated_frames_per_second=calibrated,
            release=row.release,
            python_wanted=python_wanted,
        )

    def python_of(self, release: str) -> str:
        """The interpreter of a release on its node; empty is its node's own."""
        return dict(self.row.releases).get(release, "")


class Cards:
    """All cards ever heard of, with the rates of the fleet."""

    def __init__(self, rows: Iterable[CardRow], now: float, paces: Paces) -> None:
        self._paces = paces
        self._of_nodes: dict[str, tuple[Standing, str]] = {}
        self._locks: Mapping[str, str] = {}
        self.roster = 0
        """Grows whenever a card comes, goes, or may do something else."""
        self._cards = {row.card_id: Card(row, _facts(row), seen=now) for row in rows}
        for card in self._cards.values():
            paces.put(card.row.card_id, card.row.card_type, card.row.pace)
        self._retired: dict[tuple[str, str], None] = {}
        self._changed: dict[str, None] = {}
        self.is_due = False
        """What has changed is worth a commit of its own."""
        self.rendered = RateMeter(now)
        self.delivered = RateMeter(now)
        self.h100 = RateMeter(now)
        """Seconds that the baseline would have taken: their rate is H100 equivalents."""

    def __len__(self) -> int:
        return len(self._cards)

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards.values())

    def get(self, card_id: str) -> Card | None:
        """A card, or None."""
        return self._cards.get(card_id)

    def holder(self, card_id: str) -> Holder:
        """Who would hold a lease given to this card now."""
        return Holder(card_id, self._cards[card_id].row.incarnation)

    def hear(self, request: node_pb.ExchangeRequest, now: float, unix_now: float) -> bool:
        """Note who speaks. True when it is a new incarnation of a card that was known."""
        said = request.card
        if self.is_retired(said):
            return False
        card = self._cards.get(said.card_id)
        replaced = card is not None and card.row.incarnation != said.incarnation
        if card is None or replaced:
            row = _row(said, card.row if card is not None else None)
            if card is not None:
                self._retire(said.card_id, card.row.incarnation)
                row = replace(row, frames_rendered=0, frames_open=card.meter.frames_open)
            card = self._cards[said.card_id] = Card(row, _facts(row), seen=now)
            self.put(row)
            self.roster += 1
        self._listen(card, said)
        self._note_leaving(card, leaves=said.condition == LEAVING)
        self.roster += not card.online
        card.meter.hear(request.telemetry, now - card.seen)
        card.seen, card.online = now, True
        card.condition, card.capacity = said.condition, request.capacity
        card.telemetry.CopyFrom(request.telemetry)
        if request.HasField("sent_at"):
            card.clock_ahead = request.sent_at.ToNanoseconds() / 1e9 - unix_now
        return replaced

    def put(self, row: CardRow) -> None:
        """Replace what is written down of a card that is known."""
        card = self._cards[row.card_id]
        if row.card_type != card.row.card_type or not self._paces.has(row.card_id):
            self._paces.put(row.card_id, row.card_type, row.pace)
        card.row, card.facts = row, _facts(row)
        self._settle(card)
        self._changed[row.card_id] = None

    def stand(self, card_id: str, standing: Standing, reason: str) -> Standing:
        """Note what a person decided of a card; returns its standing before."""
        row = self._cards[card_id].row
        self.put(replace(row, standing=standing, standing_reason=reason, examination=0))
        return row.standing

    def settle_standings(self, nodes: Mapping[str, Node], unix_now: float) -> None:
        """Work out what every card may do, from its own standing, its node's, and the hour."""
        self._of_nodes = {name: _of_node(node, unix_now) for name, node in nodes.items()}
        for card in self._cards.values():
            self._settle(card)

    def lock(self, locks: Mapping[str, str]) -> None:
        """From now on these cards, by their ids, take no new clips, each with why, and no others
        for such a reason."""
        before, self._locks = self._locks, dict(locks)
        for card_id in {*before, *locks}:
            if before.get(card_id) != locks.get(card_id) and card_id in self._cards:
                self._settle(self._cards[card_id])

    def _settle(self, card: Card) -> None:
        row, before = card.row, card.standing
        card.decided, card.decided_reason = row.standing, row.standing_reason
        node = self._of_nodes.get(row.hostname)
        if node is not None and stricter(row.standing, node[0]) is not row.standing:
            card.decided, card.decided_reason = node
        card.standing, card.standing_reason = card.decided, card.decided_reason
        if card.standing is Standing.OPEN and (why := self._locks.get(row.card_id)):
            card.standing, card.standing_reason = Standing.LOCKED, why
        self.roster += card.standing is not before

    def rendered_chunk(self, card_id: str, seconds: float, cost: float) -> None:
        """Learn from a chunk how fast a card is; seconds of 0 tell nothing."""
        card = self._cards.get(card_id)
        if card is None or seconds <= 0:
            return
        pace = self._paces.learn(card_id, seconds, cost)
        if not math.isclose(pace, card.row.pace, rel_tol=PACE_KEPT):
            self.put(replace(card.row, pace=pace))

    def pace(self, card_id: str) -> float:
        """Seconds for a unit of cost: measured, or of cards like it."""
        return self._paces.of(card_id)

    def _listen(self, card: Card, said: node_pb.CardReport) -> None:
        """Take over what a card says of itself, where that is new."""
        report = said.SerializeToString(deterministic=True)
        if report == card.said:
            return
        card.said = report
        if card.row != (row := _row(said, card.row)):
            self.put(row)
            self.roster += 1
        card.ready_for = said.ready_for
        card.holding.CopyFrom(said.holding)
        if said.HasField("examination"):
            card.examination.CopyFrom(said.examination)

    def _note_leaving(self, card: Card, *, leaves: bool) -> None:
        """A card whose node leaves is locked, so that nobody misses it; it comes back open."""
        standing, reason = card.row.standing, card.row.standing_reason
        if leaves and standing is Standing.OPEN:
            self.stand(card.row.card_id, Standing.LOCKED, LEAVING)
            self.is_due = True
        elif not leaves and standing is Standing.LOCKED and reason == LEAVING:
            self.stand(card.row.card_id, Standing.OPEN, "")
            self.is_due = True

    def _retire(self, card_id: str, incarnation: str) -> None:
        self._retired[card_id, incarnation] = None
        if len(self._retired) > RETIRED_MAX:
            del self._retired[next(iter(self._retired))]

    def is_retired(self, said: node_pb.CardReport) -> bool:
        """True of an incarnation that a later one has replaced, or that is gone for good: it may
        hold nothing."""
        return (said.card_id, said.incarnation) in self._retired

    def gone(self, card_id: str, *, for_good: bool) -> None:
        """Its agent died: it is offline until it is heard of again, or another one is."""
        card = self._cards[card_id]
        card.online = False
        if for_good:
            self._retire(card_id, card.row.incarnation)
        self.roster += 1

    def count_rendered(self, request: node_pb.ExchangeRequest, now: float) -> int:
        """Frames rendered since the last exchange of this incarnation; counted once."""
        card = self._cards.get(request.card.card_id)
        if card is None or card.row.incarnation != request.card.incarnation:
            return 0
        new = int(request.telemetry.frames_rendered) - card.row.frames_rendered
        if new <= 0:
            return 0
        card.row = replace(card.row, frames_rendered=request.telemetry.frames_rendered)
        card.rendered.add(now, new)
        self.rendered.add(now, new)
        self._changed[card.row.card_id] = None
        return new

    def note(self, card_id: str) -> None:
        """What is counted of a card has changed: its row is to be written."""
        self._changed[card_id] = None

    def online(self, now: float, seconds: float) -> set[str]:
        """Cards heard of within the last `seconds`, and not known to be dead."""
        return {i for i, card in self._cards.items() if card.is_here(now, seconds)}

    def counted_on(self, now: float, seconds: float) -> Iterator[Card]:
        """Cards that can be counted on: heard of within `seconds`, be they just down or not, and
        neither leaving nor sick."""
        gone = (Standing.DRAINING, Standing.QUARANTINED)
        for card in self._cards.values():
            if now - card.seen <= seconds and card.standing not in gone:
                yield card

    def rows_changed(self) -> list[CardRow]:
        """Rows to write with the next commit; each is given out once."""
        changed, self._changed, self.is_due = self._changed, {}, False
        return [
            replace(card.row, frames_open=card.meter.frames_open)
            for card in map(self._cards.__getitem__, changed)
        ]


def _row(said: node_pb.CardReport, before: CardRow | None) -> CardRow:
    """What a card says of itself, with what is known and decided of it."""
    row = CardRow(
        card_id=said.card_id,
        node_id=said.node_id,
        hostname=said.hostname,
        slot=said.slot,
        device=said.device,
        vram_bytes=said.vram_bytes,
        renderer=said.renderer,
        model_digest=said.model_digest,
        stack_id=said.stack_id,
        incarnation=said.incarnation,
        frames_rendered=0,
        card_type=said.card_type,
        tags=tuple(said.tags),
        profiles=tuple(said.profiles) or tuple(filter(None, (said.profile,))),
        models=tuple(said.models),
        lanes=said.lanes or 1,
        power_cap_watts=said.power_cap_watts,
        release=said.release,
        releases=tuple(sorted((each.version, each.python) for each in said.releases)),
    )
    if before is None:
        return row
    return replace(
        row,
        frames_rendered=before.frames_rendered,
        frames_open=before.frames_open,
        pace=before.pace,
        standing=before.standing,
        standing_reason=before.standing_reason,
        examination=before.examination,
    )


def _facts(row: CardRow) -> CardFacts:
    return CardFacts(
        card_id=row.card_id,
        hostname=row.hostname,
        card_type=row.card_type,
        vram_bytes=row.vram_bytes,
        tags=row.tags,
        profiles=row.profiles,
        models=row.models,
        lanes=row.lanes,
        model_digest=row.model_digest,
        stack_id=row.stack_id,
        power_cap_watts=row.power_cap_watts,
        pace=row.pace,
    )


def _of_node(node: Node, unix_now: float) -> tuple[Standing, str]:
    if node.standing.keeps_clips and not Hours.parse(node.schedule).contains(unix_now):
        return Standing.PAUSED, f"outside its hours ({node.schedule})"
    return node.standing, node.reason
