"""A picture of the farm as seats, queues and paces: what a forecast begins with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Work
from farm.domain.fleet import CardFacts, Standing
from farm.domain.hours import Hours
from farm.plan.economics import Basis
from farm.plan.forecast import Forecast, Forecaster, Seat
from farm.plan.line import Job, Line
from farm.plan.match import matches
from farm.plan.picture import BatchSeen, CardSeen, Held, Picture
from farm.plan.timing import Timing

POLL_SECONDS: Final = 1.0
"""An idle card asks so often; which of several comes first is chance."""
GOLDEN: Final = 0.618
"""Spreads the idle cards evenly over that second, the fast ones not before the slow ones."""
FUTURES: Final = 9
"""Orders of the cards that are looked at: of a small batch who asks first decides much."""
CHUNKS_MANY: Final = 20_000
"""In a farm with more chunks to render, one order is as good as any."""
CLIP_GAP: Final = 1.0
"""Gaps in seconds where no card has shown them; assumed."""
FIRST_GAP: Final = 2.0
TAKE_GAP: Final = 2.0

DRIFT: Final = 0.03
"""Relative standard deviation of a measured pace beside its statistical error: cards grow warm, and
other work costs not quite what its TFLOP say. Assumed, as are the next three."""
LIKE: Final = 0.15
"""Of a pace that is the mean of measured cards of its type."""
PREDICTED: Final = 0.3
"""Of one that the card model predicts (`farm.plan.card_fit.DOUBT`)."""
GUESSED: Final = 0.5
"""Of one that is the fleet's mean."""

Predict = Callable[[CardFacts], float | None]
"""Seconds for a unit of cost by the card model; None where it does not know the card."""


@dataclass(frozen=True, slots=True)
class Paced:
    """A card that may render the batch, with its pace."""

    card: CardSeen
    pace: float
    """Seconds of the card for a unit of cost."""
    doubt: float
    """Relative standard deviation of it."""
    basis: Basis


def paced(cards: Sequence[CardSeen], predict: Predict) -> list[Paced]:
    """Cards with their paces: measured; else like others of the type; else predicted; else the
    fleet's mean; else one second for a unit."""
    measured = [card.facts for card in cards if card.facts.pace > 0]
    by_type: dict[str, list[float]] = {}
    for facts in measured:
        by_type.setdefault(facts.card_type, []).append(facts.pace)
    whole = fmean([facts.pace for facts in measured]) if measured else 1.0
    found = []
    for card in cards:
        facts, timing = card.facts, card.timing
        if facts.pace > 0:
            spread = (timing.spread or 0.0) / math.sqrt(max(1, timing.chunks))
            found.append(Paced(card, facts.pace, math.hypot(DRIFT, spread), Basis.MEASURED))
        elif facts.card_type in by_type:
            pace = fmean(by_type[facts.card_type])
            found.append(Paced(card, pace, LIKE, Basis.CALIBRATED))
        elif pace_or_none := predict(facts):
            found.append(Paced(card, pace_or_none, PREDICTED, Basis.ESTIMATED))
        else:
            found.append(Paced(card, whole, GUESSED, Basis.ESTIMATED))
    return found


def usable(card: CardSeen) -> bool:
    """It may take clips, now or when its node's hours begin."""
    return card.standing is Standing.OPEN or (
        card.standing is Standing.PAUSED and bool(card.schedule)
    )


def fits(seen: BatchSeen, card: CardSeen) -> bool:
    """The card has what the batch asks for, and renders one of its qualities."""
    return usable(card) and matches(seen.batch.needs, card.facts, *seen.qualities)


def take_gap(timing: Timing) -> float:
    """Seconds from a batch's last chunk to its take."""
    return TAKE_GAP if timing.take_gap is None else timing.take_gap


def forecast(
    picture: Picture,
    cards: Sequence[Paced],
    batch_id: str,
    cost: Callable[[Work], float],
) -> Forecast:
    """What becomes of a batch that is in the picture; `cards` are all of the picture's.

    Of several orders in which idle cards may ask, the mean end.
    """
    chunks = sum(n * left for each in picture.batches for (_, left), n in each.waiting.items())
    futures = FUTURES if chunks <= CHUNKS_MANY else 1
    found = [
        _forecast(picture, cards, batch_id, cost, phase=number / futures)
        for number in range(futures)
    ]
    found[0].end = fmean([each.end for each in found])
    return found[0]


def _forecast(
    picture: Picture,
    cards: Sequence[Paced],
    batch_id: str,
    cost: Callable[[Work], float],
    *,
    phase: float,
) -> Forecast:
    """The same for one order: `phase` shifts who asks first, 0 to 1."""
    seen = picture.batch(batch_id)
    assert seen is not None
    may = {
        each.batch.batch_id: [fits(each, paced_card.card) for paced_card in cards]
        for each in picture.batches
    }
    displaced = _displaced(picture, seen, cards, may[batch_id])
    back: dict[str, Counter[tuple[Work, int]]] = {}
    seats: list[Seat] = []
    for index, each in enumerate(cards):
        held = list(each.card.held)
        if index in displaced:
            for clip in held:
                left = clip.chunks_left - clip.started
                back.setdefault(clip.batch_id, Counter())[clip.work, left] += 1
        if usable(each.card):
            asks_at = (index * (GOLDEN + phase) + phase) % 1.0 * POLL_SECONDS
            seats += _seats(each, held, picture.timing, cost, index in displaced, index, asks_at)
    startable = [
        replace(each, waiting=Counter(each.waiting) + back.get(each.batch.batch_id, Counter()))
        for each in picture.batches
        if each.batch.batch_id == batch_id or each.batch.state is BatchState.OPEN
    ]
    absent = {clip.batch_id for each in cards for clip in each.card.held}
    absent -= {each.batch.batch_id for each in startable}
    startable += [replace(b, waiting={}) for b in picture.batches if b.batch.batch_id in absent]
    line = Line(
        startable,
        cost=cost,
        seats=len(seats),
        may_have=lambda batch, card: may[batch][card],
        projects=picture.projects,
        limits=picture.limits,
        half_life_seconds=picture.policy.share_half_life_seconds,
        now=picture.at,
    )
    return Forecaster(
        seats,
        line,
        batch_id=batch_id,
        now=picture.at,
        resume_seconds=picture.policy.resume_seconds,
        resumes_in=POLL_SECONDS + take_gap(picture.timing),
    ).run()


def _seats(
    each: Paced,
    held: Sequence[Held],
    fleet: Timing,
    cost: Callable[[Work], float],
    is_displaced: bool,
    index: int,
    asks_at: float,
) -> list[Seat]:
    """A card's lanes; what it holds is spread over them."""
    own, lanes = each.card.timing, each.card.facts.lanes
    clip_gap = _known(own.clip_gap, fleet.clip_gap, CLIP_GAP)
    first = asks_at + max(0.0, _known(own.first_gap, fleet.first_gap, FIRST_GAP) - clip_gap)
    hours = Hours.parse(each.card.schedule)
    seats = []
    for lane in range(lanes):
        seat = Seat(
            card=index,
            pace=each.pace * lanes,
            share=1 / lanes,
            chunk_gap=_known(own.chunk_gap, fleet.chunk_gap, 0.0),
            clip_gap=clip_gap,
            free_at=first,
            hours=hours,
        )
        mine = held[lane::lanes]
        if is_displaced:
            seat.free_at += max(
                (seat.boundary(cost(c.work), c.seconds) for c in mine if c.started), default=0.0
            )
        else:
            seat.backlog = [
                Job(c.batch_id, c.work, cost(c.work), c.chunks_left) for c in mine if c.chunks_left
            ]
        if seat.backlog:
            # Its first clip began a while ago, with its gap before that.
            begun = min(mine[0].seconds, seat.chunk_seconds(cost(mine[0].work)))
            seat.free_at = -seat.clip_gap - begun if mine[0].started else first - seat.clip_gap
        seats.append(seat)
    return seats


def _known(own: float | None, fleet: float | None, assumed: float) -> float:
    return next((gap for gap in (own, fleet) if gap is not None), assumed)


def _displaced(
    picture: Picture, seen: BatchSeen, cards: Sequence[Paced], may: Sequence[bool]
) -> set[int]:
    """Cards, by index, that give their clips up for a batch of higher rank that waits."""
    ranks = {each.batch.batch_id: rank(each.batch, each.urgent) for each in picture.batches}
    own = rank(seen.batch, seen.urgent)
    idle = sum(ok and not each.card.held for ok, each in zip(may, cards, strict=True))
    most = sum(seen.waiting.values()) - idle
    lower = [
        (max(ranks.get(c.batch_id, own) for c in each.card.held), -each.pace, index)
        for index, each in enumerate(cards)
        if may[index] and each.card.held
    ]
    lower = [each for each in sorted(lower, reverse=True) if each[0] > own]
    return {index for _, _, index in lower[: max(0, most)]}


def rank(batch: Batch, urgent: float | None) -> tuple[float, float]:
    """What lets a batch displace another (`Lineup.rank`); the smaller goes first."""
    return (-batch.priority, math.inf if urgent is None else urgent)
