"""The cards as the coordinator hears of them: who is online, in which incarnation, how fast."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from farm.domain.clip import Holder
from farm.domain.fleet import Standing
from farm.domain.ledger import CardRow
from farm.plan.rates import RateMeter
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

STANDINGS = {each: types_pb.Standing.Value(f"STANDING_{each.name}") for each in Standing}
"""Ours → the contract's number."""

RETIRED_MAX = 10_000
"""Incarnations remembered as gone, over all cards."""


@dataclass(slots=True)
class Card:
    """A card, as it was last heard of."""

    row: CardRow
    seen: float
    """Monotonic seconds; for a card not heard of yet, when this coordinator started."""
    condition: str = ""
    """As it says itself: "ready", or why it takes no clips."""
    online: bool = False
    """False until it is heard of, and after its agent died."""
    telemetry: types_pb.CardTelemetry = field(default_factory=types_pb.CardTelemetry)
    rendered: RateMeter = field(init=False)

    def __post_init__(self) -> None:
        self.rendered = RateMeter(self.seen)

    def view(
        self,
        *,
        online: bool,
        held: Sequence[str],
        standing: tuple[Standing, str],
        now: float,
    ) -> types_pb.Card:
        """The card for operators."""
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
            profile=row.profile,
            models=row.models,
            lanes=row.lanes,
            power_cap_watts=row.power_cap_watts,
            pace=row.pace,
            standing=STANDINGS[standing[0]],
            standing_reason=standing[1],
        )


class Cards:
    """All cards ever heard of, with the rates of the fleet."""

    def __init__(self, rows: Iterable[CardRow], now: float) -> None:
        self._cards = {row.card_id: Card(row, seen=now) for row in rows}
        self._retired: deque[tuple[str, str]] = deque(maxlen=RETIRED_MAX)
        self._changed: dict[str, None] = {}
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

    def hear(self, request: node_pb.ExchangeRequest, now: float) -> bool:
        """Note who speaks. True when it is a new incarnation of a card that was known."""
        said = request.card
        if self.is_retired(said):
            return False
        card = self._cards.get(said.card_id)
        replaced = card is not None and card.row.incarnation != said.incarnation
        if card is None or replaced:
            if card is not None:
                self._retired.append((said.card_id, card.row.incarnation))
            row = _row(said, card.row if card else None)
            card = self._cards[said.card_id] = Card(replace(row, frames_rendered=0), seen=now)
            self._changed[said.card_id] = None
        elif card.row != (row := _row(said, card.row)):
            card.row = row
            self._changed[said.card_id] = None
        card.seen, card.online = now, True
        card.condition = said.condition
        card.telemetry.CopyFrom(request.telemetry)
        return replaced

    def is_retired(self, said: node_pb.CardReport) -> bool:
        """True of an incarnation that a later one has replaced: it may hold nothing."""
        return (said.card_id, said.incarnation) in self._retired

    def stand(self, card_id: str, standing: Standing, reason: str) -> Standing:
        """Note what was decided of a card; returns its standing before."""
        card = self._cards[card_id]
        before = card.row.standing
        card.row = replace(card.row, standing=standing, standing_reason=reason)
        self._changed[card_id] = None
        return before

    def gone(self, card_id: str) -> None:
        """Its agent died: it is offline until it is heard of again."""
        self._cards[card_id].online = False

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

    def online(self, now: float, seconds: float) -> set[str]:
        """Cards heard of within the last `seconds`, and not known to be dead."""
        return {i for i, card in self._cards.items() if card.online and now - card.seen <= seconds}

    def known(self, now: float, seconds: float) -> set[str]:
        """Cards that can be counted on: heard of within `seconds`, be they just down or not."""
        return {i for i, card in self._cards.items() if now - card.seen <= seconds}

    def rows_changed(self) -> list[CardRow]:
        """Rows to write with the next commit; each is given out once."""
        changed, self._changed = self._changed, {}
        return [self._cards[card_id].row for card_id in changed]


def _row(said: node_pb.CardReport, before: CardRow | None) -> CardRow:
    """What a card says, with what was decided of it and learned about it before."""
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
        profile=said.profile,
        models=tuple(said.models),
        lanes=said.lanes or 1,
        power_cap_watts=said.power_cap_watts,
    )
    if before is None:
        return row
    return replace(
        row,
        frames_rendered=before.frames_rendered,
        pace=before.pace,
        standing=before.standing,
        standing_reason=before.standing_reason,
    )
