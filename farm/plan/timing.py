"""What of a card's chunks the quote wants to know beside its pace: spread, energy, and gaps.

All is kept in memory, of the last `KEPT` chunks or clips of each card; a restart learns it anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Final

KEPT: Final = 24
ENOUGH: Final = 8
"""Of fewer gaps a card's own median says less than that of all cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of one card, or of several together; None where nothing has shown it."""

    chunks: int = 0
    """Measured lately, `KEPT` at most for each card."""
    spread: float | None = None
    """Standard deviation of a chunk's time over its mean, of chunks of one cost."""
    watts: float | None = None
    """Measured joules over seconds of rendering."""
    chunk_gap: float | None = None
    """Seconds on the wall beside rendering between two chunks of a clip, the card's lanes full."""
    clip_gap: float | None = None
    """The same between a clip and the next one that the card had already."""
    first_gap: float | None = None
    """From a lease of an idle card to the first chunk, rendering it left out."""
    take_gap: float | None = None
    """From a clip's last chunk to its take."""


@dataclass(slots=True)
class _Clip:
    """A clip that a card renders."""

    card_id: str
    leased: float
    idle: bool
    """The card held nothing when it came."""
    first: float | None = None
    """Monotonic seconds of its first recorded chunk; as `last`."""
    last: float = 0.0
    chunks: int = 0
    rendered: float = 0.0
    """Seconds of rendering, the first chunk's left out."""


@dataclass(slots=True)
class _Card:
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    watts: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    chunk_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    clip_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    first_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    take_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    ended: float = -math.inf
    """Monotonic seconds of the last chunk of the clip before."""


class Timings:
    """Learns from leases, recorded chunks and takes; every `now` is of one monotonic clock."""

    __slots__ = ("_cards", "_clips")

    def __init__(self) -> None:
        self._cards: dict[str, _Card] = {}
        self._clips: dict[str, _Clip] = {}

    def leased(self, clip_id: str, card_id: str, now: float, *, idle: bool) -> None:
        """A card got a clip."""
        self._clips[clip_id] = _Clip(card_id, now, idle)

    def chunk(
        self,
        clip_id: str,
        card_id: str,
        now: float,
        *,
        seconds: float,
        cost: float,
        lanes: int,
        joules: float | None,
        ends: bool,
    ) -> None:
        """A chunk was recorded: `seconds` of the card for it alone; `ends`: the clip's last one."""
        if seconds <= 0 or cost <= 0:
            return
        card = self._cards.setdefault(card_id, _Card())
        card.paces.append(seconds / cost)
        if joules is not None:
            card.watts.append(joules / seconds)
        clip = self._clips.get(clip_id)
        if clip is None or clip.card_id != card_id:
            return
        if clip.first is None:
            clip.first = now
            self._began(card, clip, now - seconds * lanes, lanes)
        else:
            clip.chunks += 1
            clip.rendered += seconds * lanes
        clip.last = now
        if ends:
            if clip.chunks:
                card.chunk_gaps.append((now - clip.first - clip.rendered) / clip.chunks)
            card.ended = now

    def _began(self, card: _Card, clip: _Clip, began: float, lanes: int) -> None:
        if clip.idle:
            card.first_gaps.append(max(0.0, began - clip.leased))
        elif lanes == 1 and clip.leased < card.ended:
            card.clip_gaps.append(began - card.ended)

    def is_new(self, clip_id: str) -> bool:
        """The card that has a clip has recorded no chunk of it."""
        clip = self._clips.get(clip_id)
        return clip is not None and clip.first is None

    def take(self, clip_id: str, now: float) -> None:
        """A clip's take was recorded."""
        clip = self._clips.pop(clip_id, None)
        if clip is not None and clip.first is not None:
            self._cards[clip.card_id].take_gaps.append(max(0.0, now - clip.last))

    def given_up(self, clip_id: str) -> None:
        """A clip has left its card, however."""
        self._clips.pop(clip_id, None)

    def of(self, card_id: str) -> Timing:
        """What a card has shown itself."""
        card = self._cards.get(card_id)
        return _timing([card], enough=ENOUGH) if card is not None else Timing()

    def of_all(self) -> Timing:
        """What all cards have shown together."""
        return _timing(list(self._cards.values()))


def _timing(cards: Iterable[_Card], enough: int = 1) -> Timing:
    """`enough`: gaps without which there is no median of them."""
    known = list(cards)
    spreads = [_spread(card.paces) for card in known if len(card.paces) > 2]

    def middle(name: str) -> float | None:
        values = [value for card in known for value in getattr(card, name)]
        return max(0.0, median(values)) if len(values) >= enough else None

    watts = [value for card in known for value in card.watts]
    return Timing(
        chunks=sum(len(card.paces) for card in known),
        spread=fmean(spreads) if spreads else None,
        watts=fmean(watts) if watts else None,
        chunk_gap=middle("chunk_gaps"),
        clip_gap=middle("clip_gaps"),
        first_gap=middle("first_gaps"),
        take_gap=middle("take_gaps"),
    )


def _spread(paces: Iterable[float]) -> float:
    values = list(paces)
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) / mean
