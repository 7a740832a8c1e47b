"""What is simulated: cards by type, how fast they render, what they cost.

A type's speed is predicted from what the card is made of (`farm.plan.card_time`), or published,
until somebody measures a card and says so: by a rate, or by bench records that correct predictions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.domain.errors import FarmError
from farm.plan.bench_record import Calibration
from farm.plan.card_table import CARDS
from farm.plan.card_time import AS_PREDICTED, Corrections, Run, offloaded, predict
from farm.plan.economics import (
    H100,
    HELIOS,
    Baseline,
    Basis,
    ModelShape,
    like_for_like,
)
from farm.plan.tariff import CARD_PRICES

CARDS_MAX: Final = 100_000
CARDS_PER_NODE: Final = 1
TOLD_BY_THE_CARD: Final = frozenset({Basis.MEASURED, Basis.CALIBRATED})


class BadCards(FarmError):
    """A fleet that cannot be simulated as it is written."""

    reason = "BAD_CARDS"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardType:
    """One type of card."""

    name: str
    speed: Baseline
    vram_gb: int
    watts: float
    """Of the board, while it renders."""
    watts_idle: float
    price: float
    """Of one card, new, in US dollars: a figure to put one's own in place of."""
    corrections: Corrections = AS_PREDICTED
    """Of its predictions, where it was measured."""

    def chunk_seconds(self, work: Work, model: ModelShape) -> float:
        """Seconds for one chunk. Raises `ValueError` for steps that the model does not have."""
        return _chunk_seconds(self.speed, self.corrections, work, model)


@cache
def _chunk_seconds(
    speed: Baseline, corrections: Corrections, work: Work, model: ModelShape
) -> float:
    if speed.basis in (Basis.ESTIMATED, Basis.CALIBRATED):
        card = CARDS[speed.name]
        return predict(card, offloaded(card, Run(), model), model, work, corrections).seconds
    return CHUNK_FRAMES / like_for_like(speed, model, work).frames_per_second


def _predicted(
    name: str,
    corrections: Corrections = AS_PREDICTED,
    basis: Basis = Basis.ESTIMATED,
    source: str = "predicted from the vendor's peaks (farm.plan.card_time), profile exact",
) -> Baseline:
    """The speed of a card of the table with the profile `exact`."""
    card, model = CARDS[name], HELIOS["distilled"]
    time = predict(card, offloaded(card, Run(), model), model, H100.work, corrections)
    return Baseline(
        name=name,
        frames_per_second=time.frames_per_second,
        variant=model.variant,
        work=H100.work,
        basis=basis,
        source=source,
    )


def _type(name: str, *, watts_idle: float, speed: Baseline | None = None) -> CardType:
    """A type of the card table; its speed is predicted where none is published."""
    return CardType(
        name=name,
        speed=speed or _predicted(name),
        vram_gb=CARDS[name].vram_gib,
        watts=CARDS[name].watts,
        watts_idle=watts_idle,
        price=CARD_PRICES[name],
    )


CARD_TYPES: Final[Mapping[str, CardType]] = MappingProxyType(
    {
        card.name: card
        for card in (
            _type("h100", watts_idle=70, speed=H100),
            _type("h200", watts_idle=75),
            _type("a100", watts_idle=50),
            _type("l4", watts_idle=12),
            _type("rtx-3060", watts_idle=12),
            _type("rtx-3090", watts_idle=20),
            _type("rtx-4060-ti", watts_idle=10),
            _type("rtx-4060-ti-8gb", watts_idle=10),
            _type("rtx-4070-ti-super", watts_idle=12),
            _type("rtx-4090", watts_idle=22),
            _type("rtx-5090", watts_idle=30),
        )
    }
)
"""By name. Watts are board limits, prices rough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """So many cards of each type, on machines with `cards_per_node` each."""

    cards: tuple[tuple[int, CardType], ...]
    model: ModelShape = HELIOS["distilled"]
    cards_per_node: int = CARDS_PER_NODE

    @property
    def count(self) -> int:
        """All cards."""
        return sum(number for number, _ in self.cards)

    @property
    def speeds(self) -> Basis:
        """What all speeds are at least: measured, calibrated or estimated."""
        bases = {card.speed.basis for _, card in self.cards}
        if bases <= {Basis.MEASURED}:
            return Basis.MEASURED
        return Basis.CALIBRATED if bases <= TOLD_BY_THE_CARD else Basis.ESTIMATED

    def with_first(self, number: int) -> FleetPlan:
        """The same fleet with `number` cards of its first type."""
        return replace(self, cards=((number, self.cards[0][1]), *self.cards[1:]))

    def each(self) -> list[tuple[str, str, CardType]]:
        """(card id, node id, type) of every card."""
        types = [card for number, card in self.cards for _ in range(number)]
        return [
            (f"card-{i:05d}", f"node-{i // self.cards_per_node:05d}", card)
            for i, card in enumerate(types)
        ]


_PART = re.compile(r"(?:([0-9]{1,6})\s*x\s*)?([a-z0-9][a-z0-9.-]*)")


def parse_cards(
    text: str,
    speeds: Mapping[str, float] | None = None,
    variant: str = "distilled",
    calibrations: Mapping[str, Calibration] | None = None,
) -> FleetPlan:
    """`62xrtx-4060-ti,1xh100` to a fleet that renders with a Helios of this variant.

    `speeds` are measured frames per second by type: of Helios-Distilled at 640x384 with steps
    1,1,1; `calibrations` correct the predictions of types without. Raises `BadCards`.
    """
    if variant not in HELIOS:
        raise BadCards(f"{variant!r} is no model that can be simulated: use {', '.join(HELIOS)}")
    types = dict(CARD_TYPES)
    for name, calibration in (calibrations or {}).items():
        types[name] = _calibrated(calibration)
    for name, fps in (speeds or {}).items():
        types[name] = _measured(name, fps)
    parts = [_part(part.strip().lower(), types) for part in text.split(",") if part.strip()]
    plan = FleetPlan(cards=tuple(parts), model=HELIOS[variant])
    if not parts:
        raise BadCards("no cards: write them as 62xrtx-4060-ti,1xh100")
    if plan.count > CARDS_MAX:
        raise BadCards(f"{plan.count} cards: at most {CARDS_MAX} can be simulated")
    return plan


def _part(text: str, types: Mapping[str, CardType]) -> tuple[int, CardType]:
    match = _PART.fullmatch(text)
    if match is None:
        raise BadCards(f"{text!r} is no number of cards: write it as 62xrtx-4060-ti")
    number = int(match[1] or 1)
    if number < 1:
        raise BadCards(f"{text!r}: a fleet has at least one card of each type that it names")
    return number, _known(match[2], types)


def _known(name: str, types: Mapping[str, CardType]) -> CardType:
    if name not in types:
        known = ", ".join(sorted(types))
        raise BadCards(f"{name} is no card type known here: use {known}, or give its speed")
    return types[name]


def _calibrated(calibration: Calibration) -> CardType:
    card, fit, model = calibration.card, calibration.fit, HELIOS["distilled"]
    covered = fit.covers(card, offloaded(card, Run(), model), model, H100.work)
    speed = _predicted(
        card.name,
        fit.corrections,
        Basis.CALIBRATED if covered else Basis.ESTIMATED,
        f"predicted, corrected by {len(calibration.measured)} bench measurements, profile exact",
    )
    return replace(CARD_TYPES[card.name], speed=speed, corrections=fit.corrections)


def _measured(name: str, fps: float) -> CardType:
    if not 0 < fps < 1e6:
        raise BadCards(f"a speed of {fps:g} frames per second for {name}: want one above 0")
    known = CARD_TYPES.get(name, replace(CARD_TYPES["rtx-4060-ti"], name=name))
    speed = replace(
        known.speed, name=name, frames_per_second=fps, basis=Basis.MEASURED, source="as given"
    )
    return replace(known, speed=speed)
