"""A fleet as the arithmetic of money sees it: groups of like cards, and sums over them. Pure.

Rates are those of the reference work: what the baseline was published for, so that frames compare
like with like.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.card_table import CARDS
from farm.plan.card_time import Run, offloaded, predict
from farm.plan.economics import (
    H100,
    HELIOS,
    Baseline,
    Basis,
    ModelShape,
    h100_equivalents,
    steps_of,
)
from farm.plan.money.figure import Figure, derived, weakest
from farm.plan.money.scenario import Prices
from farm.plan.seating import GUESSED, Paced

CARD_MODEL: Final = "the card model, profile exact (farm speed)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cards of one type."""

    card_type: str
    cards: int
    rate: Figure | None
    """Frames a second of one card; None where nothing is known of it."""
    equivalent: Figure | None
    """H100s that one card is worth; None where what it renders cannot be compared."""
    watts: Figure
    """Of one card's board at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """A fleet, there or thought of."""

    groups: tuple[Group, ...] = ()
    is_there: bool = False
    """It is a farm's, and not only thought of."""
    rendering: Figure | None = None
    """Frames a second that the farm renders now."""
    backlog_seconds: float | None = None
    """Until all that is open would be done."""
    utilisation: Figure | None = None
    monthly: Figure | None = None
    """Generations of the last month."""
    joules_per_second: Figure | None = None
    """Of delivered video: over the farm's whole life, waste and idle cards counted in."""
    money_per_second: Figure | None = None
    """The same in money: electricity and the cards' share of their price."""
    is_testcard: bool = False
    """It draws test cards, which are no frames of a model."""

    @property
    def cards(self) -> int:
        """All of them."""
        return sum(group.cards for group in self.groups)

    @property
    def rate(self) -> Figure | None:
        """Frames a second of all cards at work."""
        known = [(g.cards * g.rate.value, g.rate) for g in self.groups if g.rate]
        source = "sum over cards"
        return _sum(known, "FPS", source)

    @property
    def equivalents(self) -> Figure | None:
        """H100s that it is worth with all cards at work."""
        known = [(g.cards * g.equivalent.value, g.equivalent) for g in self.groups if g.equivalent]
        return _sum(known, "H100s", "FPS of all cards / FPS of the baseline at the same work")

    def like(self, baseline: Baseline) -> Figure | None:
        """Frames a second of the baseline's own work that it is worth; None of test cards."""
        worth = self.equivalents
        if worth is None:
            return None
        rate = worth.value * baseline.frames_per_second
        return derived(rate, "FPS", f"of the work of {baseline.name}, like for like", worth)

    @property
    def watts(self) -> Figure | None:
        """Of all boards at work."""
        return _sum([(g.cards * g.watts.value, g.watts) for g in self.groups], "W", "boards alone")

    def price(self, prices: Prices, *, nodes: bool) -> Figure | None:
        """Of the cards, or of whole nodes; None unless every card has a price."""
        each = prices.node if nodes else prices.card
        found = [(group.cards, each(group.card_type)) for group in self.groups]
        if not found or any(figure is None for _, figure in found):
            return None
        known = [(cards * figure.value, figure) for cards, figure in found if figure]
        what = "cards and hosts" if nodes else "cards alone"
        return _sum(known, prices.currency, what)

    def unpriced(self, prices: Prices) -> list[str]:
        """Types of which no price is known."""
        return [g.card_type for g in self.groups if prices.card(g.card_type) is None]


def live(
    cards: Sequence[Paced],
    prices: Prices,
    model: ModelShape | None,
    baseline: Baseline,
    *,
    scaled: bool = False,
) -> tuple[Group, ...]:
    """The cards of a farm by type, the most numerous first.

    `scaled`: their paces are of other work than the baseline's, so rates of that are estimated.
    """
    by_type: dict[str, list[Paced]] = {}
    for card in cards:
        by_type.setdefault(card.card.facts.card_type or "unknown", []).append(card)
    groups = [_group(name, each, prices, model, baseline, scaled) for name, each in by_type.items()]
    return tuple(sorted(groups, key=lambda group: (-group.cards, group.card_type)))


def assumed(
    card_type: str, cards: int, prices: Prices, rate: float | None, baseline: Baseline = H100
) -> Group:
    """Cards that nobody has yet: as the card model predicts them, or at the rate that is given."""
    told: Figure | None
    if rate is not None:
        told = Figure(rate, "FPS", Basis.ASSUMED, "as asked here")
    else:
        told = predicted_rate(card_type, baseline.work)
    equivalent = None
    if told is not None:
        worth = told.value / baseline.frames_per_second
        equivalent = derived(worth, "H100s", "FPS / FPS of the baseline", told, _of(baseline))
    return Group(
        card_type=card_type,
        cards=cards,
        rate=told,
        equivalent=equivalent,
        watts=_watts(card_type, 0.0, prices),
    )


def predicted_rate(card_type: str, work: Work = H100.work) -> Figure | None:
    """Frames a second of Helios-Distilled by the card model; None for an unknown type."""
    card, model = CARDS.get(card_type), HELIOS["distilled"]
    if card is None:
        return None
    time = predict(card, offloaded(card, Run(), model), model, work)
    return Figure(time.frames_per_second, "FPS", Basis.ESTIMATED, CARD_MODEL)


def reference_work(model: ModelShape | None, baseline: Baseline) -> Work:
    """What rates are told of: the baseline's work, with the model's own steps where it must."""
    work = baseline.work
    if model is None:
        return work
    try:
        steps_of(model, work)
    except ValueError:
        return Work(work.height, work.width, model.default_steps)
    return work


def _group(
    card_type: str,
    cards: Sequence[Paced],
    prices: Prices,
    model: ModelShape | None,
    baseline: Baseline,
    scaled: bool,
) -> Group:
    work = reference_work(model, baseline)
    one = h100_equivalents(1.0, work, model, baseline)
    cost = one.value * CHUNK_FRAMES or 1.0  # of a chunk, in the units of paces
    told, count = [each.basis for each in cards], len(cards)
    basis = weakest(*told, Basis.ESTIMATED) if scaled else weakest(*told)
    source = f"paces of {count} cards, mean{', in proportion to TFLOP' if scaled else ''}"
    rate = equivalent = None
    if all(each.doubt < GUESSED for each in cards):
        rates = [CHUNK_FRAMES / (each.pace * cost) for each in cards]
        rate = Figure(math.fsum(rates) / count, "FPS", basis, source)
    if model is not None and rate is not None:
        worth = rate.value * one.value
        how = weakest(basis, one.basis)
        equivalent = Figure(worth, "H100s", how, f"FPS / FPS of {baseline.name} at the same work")
    measured = [each.card.timing.watts for each in cards if each.card.timing.watts is not None]
    if len(measured) == count:
        watts = Figure(
            math.fsum(measured) / count, "W", Basis.MEASURED, "joules over seconds of its chunks"
        )
    else:
        caps = [each.card.facts.power_cap_watts for each in cards]
        watts = _watts(card_type, math.fsum(caps) / count if all(caps) else 0.0, prices)
    return Group(card_type=card_type, cards=count, rate=rate, equivalent=equivalent, watts=watts)


def _watts(card_type: str, cap: float, prices: Prices) -> Figure:
    """Of a card that does not measure them: at most its cap."""
    value = prices.applied.watts_of(card_type, cap)
    if cap:
        return Figure(value, "W", Basis.ESTIMATED, "power cap, which it may stay below")
    if card_type in CARDS:
        return Figure(value, "W", Basis.ESTIMATED, "the vendor's board limit")
    return Figure(value, "W", Basis.ASSUMED, "setting card_watts")


def _of(baseline: Baseline) -> Figure:
    return Figure(baseline.frames_per_second, "FPS", baseline.basis, baseline.source)


def _sum(parts: Iterable[tuple[float, Figure]], unit: str, source: str) -> Figure | None:
    known = list(parts)
    if not known:
        return None
    return derived(math.fsum(value for value, _ in known), unit, source, *(f for _, f in known))
