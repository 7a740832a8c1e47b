"""A picture of the farm as seats, queues and paces: what a forecast begins with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

from farm.domain.batch import BatchState
from farm.domain.clip import Work
from farm.domain.fleet import CardFacts, Standing
from farm.domain.hours import Hours
from farm.plan.economics import Basis
from farm.plan.forecast import TICK_SECONDS, Forecast, Forecaster
from farm.plan.line import Job, Line, Size
from farm.plan.match import matches
from farm.plan.picture import ORDERED_MAX, BatchSeen, CardSeen, Held, Kept, Picture
from farm.plan.seat import Bench, Seat
from farm.plan.timing import Timing

POLL_SECONDS: Final = 1.0
"""An idle card asks so often."""
MESSAGE_SECONDS: Final = 0.05
"""An exchange takes so long at most, more or less: who asks first by less does so by chance."""
GOLDEN: Final = (5**0.5 - 1) / 2
FUTURES: Final = 9
"""Courses that are looked at where few clips wait: of a small batch chance decides much."""
OVERDUE: Final = 0.98
"""A chunk that takes longer than it should is this part done."""
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

    Of several courses that chance may give it, the end in the middle.
    """
    clips = sum(n for each in picture.batches for n in each.waiting.values())
    futures = FUTURES if clips <= ORDERED_MAX else 1
    found = [_forecast(picture, cards, batch_id, cost, course=number) for number in range(futures)]
    found[0].end = median([each.end for each in found])
    return found[0]


def _forecast(
    picture: Picture,
    cards: Sequence[Paced],
    batch_id: str,
    cost: Callable[[Work], float],
    *,
    course: int,
) -> Forecast:
    """The same for one course, by its number: who asks first, when the plan looks, how long chunks
    take within their spread."""
    may = {
        each.batch.batch_id: [fits(each, paced_card.card) for paced_card in cards]
        for each in picture.batches
    }
    online = sum(each.card.silent <= picture.policy.lease_seconds for each in cards)
    numbers = {each.card.facts.card_id: index for index, each in enumerate(cards)}
    benches = [
        _bench(each, picture, cost, index, numbers, course) for index, each in enumerate(cards)
    ]
    kept = [each for each in picture.kept if each.card_id in numbers]
    line = Line(
        _startable(picture, cards, batch_id, kept),
        cost=cost,
        seats=sum(len(bench.seats) for bench in benches),
        may_have=lambda batch, card: may[batch][card],
        projects=picture.projects,
        limits=picture.limits,
        half_life_seconds=picture.policy.share_half_life_seconds,
        now=picture.at,
        shift=_chance(course),
    )
    for clip in kept:
        job = Job(clip.batch_id, clip.work, cost(clip.work), clip.chunks_left)
        line.give_back(job, numbers[clip.card_id])
    return Forecaster(
        benches,
        line,
        batch_id=batch_id,
        now=picture.at,
        policy=picture.policy,
        cards_online=online,
        tick_at=_chance(course) * TICK_SECONDS,
    ).run()


def _startable(
    picture: Picture, cards: Sequence[Paced], batch_id: str, kept: Sequence[Kept]
) -> list[BatchSeen]:
    """Batches whose clips may go out, with those that wait for any card; of others that cards
    hold clips of, nothing waits."""
    apart: dict[str, Counter[Size]] = {}
    for clip in kept:
        apart.setdefault(clip.batch_id, Counter())[clip.work, clip.chunks_left] += 1
    found = []
    held = {clip.batch_id for each in cards for clip in each.card.held} | set(apart)
    for each in picture.batches:
        name = each.batch.batch_id
        if name == batch_id or each.batch.state is BatchState.OPEN:
            found.append(_without(each, apart.get(name, Counter())))
        elif name in held:
            found.append(replace(each, waiting={}, order=()))
    return found


def _without(seen: BatchSeen, clips: Counter[Size]) -> BatchSeen:
    order = list(seen.order)
    for size in clips.elements():
        if size in order:
            order.remove(size)
    return replace(seen, waiting=Counter(seen.waiting) - clips, order=tuple(order))


def _bench(
    each: Paced,
    picture: Picture,
    cost: Callable[[Work], float],
    index: int,
    numbers: Mapping[str, int],
    course: int,
) -> Bench:
    """A card's lanes with what it holds; none where it takes no clips."""
    card, fleet, own = each.card, picture.timing, each.card.timing
    lanes = card.facts.lanes
    clip_gap = _known(own.clip_gap, fleet.clip_gap, CLIP_GAP)
    first_gap = _known(own.first_gap, fleet.first_gap, FIRST_GAP)
    bench = Bench(
        card=index,
        pace=card.facts.pace,
        chunk_gap=_known(own.chunk_gap, fleet.chunk_gap, 0.0),
        clip_gap=clip_gap,
        first_gap=first_gap,
        take_gap=_known(own.take_gap, fleet.take_gap, TAKE_GAP),
        spare=card.spare,
        spoke=-card.silent,
        late=max(0.0, first_gap - clip_gap),
        hours=Hours.parse(card.schedule),
    )
    if not usable(card):
        return bench
    chance = _chance(course * (index + 1))
    pace = each.pace * (1 + (2 * chance - 1) * (own.spread or 0.0))
    bench.seats = [Seat(bench, pace * lanes, 1 / lanes) for _ in range(lanes)]
    ended = [clip for clip in card.held if not clip.chunks_left]
    for seat in bench.seats:
        seat.free_at = max(0.0, POLL_SECONDS - card.silent) + chance * MESSAGE_SECONDS
        if ended:
            seat.free_at = max(0.0, bench.take_gap - min(clip.seconds for clip in ended))
    left = [clip for clip in card.held if clip.chunks_left]
    begun = sorted(left, key=lambda clip: not clip.started)
    for seat, clip in zip(bench.seats, begun, strict=False):
        _seat(seat, clip, cost, numbers)
    bench.backlog = [_job(clip, cost) for clip in begun[lanes:]]
    return bench


def _seat(
    seat: Seat, clip: Held, cost: Callable[[Work], float], numbers: Mapping[str, int]
) -> None:
    """Have a seat render what its card has in render, or begins."""
    seat.job, seat.whole = _job(clip, cost), clip.chunks_left
    gap = seat.bench.first_gap if clip.is_new else 0.0
    seat.began = max(gap - clip.seconds, -OVERDUE * seat.each)
    done = seat.boundary(0.0)
    if clip.heard:
        # Where a chunk was recorded just now, it is given up, and that is being said.
        done = int(clip.is_new or clip.seconds > 2 * MESSAGE_SECONDS)
    if clip.yielding and done < seat.whole:
        seat.rest, seat.job = seat.job.cut(seat.whole - done), seat.job.cut(done)
        seat.kept_for = numbers.get(clip.kept_for)


def _job(clip: Held, cost: Callable[[Work], float]) -> Job:
    return Job(clip.batch_id, clip.work, cost(clip.work), clip.chunks_left)


def _chance(number: int) -> float:
    """0 to 1, evenly spread; of 0 the middle."""
    return (0.5 + number * GOLDEN) % 1.0


def _known(own: float | None, fleet: float | None, assumed: float) -> float:
    return next((gap for gap in (own, fleet) if gap is not None), assumed)
