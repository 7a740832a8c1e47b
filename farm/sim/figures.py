"""What a simulation says to whoever pays: hours, utilisation, energy, money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from farm.domain.clip import ClipState
from farm.sim.fleet import FleetPlan
from farm.sim.outcome import Outcome

JOULES_PER_KWH: Final = 3.6e6
CARDS_TRIED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A simulation in numbers. Speeds are estimated unless every card was measured."""

    cards: int
    finished: bool
    seconds: float
    """Until the last clip ended."""
    clips: dict[str, int]
    """By state."""
    utilisation: float
    """Share of all card seconds that went into rendering, 0..1."""
    idle_share: float
    """Share in which a card had nothing to do while clips waited, 0..1."""
    kwh: float
    """Of the cards' boards; the machines around them draw more."""
    electricity: float
    """At the price of a kWh that was given."""
    price: float
    """Of all cards, new."""
    deaths: int
    yields: int
    speeds: str
    """measured, calibrated or estimated."""

    @property
    def delivered(self) -> int:
        """Clips with a take."""
        return self.clips.get(ClipState.DONE.value, 0)


def figures(plan: FleetPlan, outcome: Outcome, *, kwh_price: float) -> Figures:
    """Put an outcome into numbers."""
    joules = 0.0
    for card in outcome.cards:
        busy = outcome.record.busy[card.card_id]
        idle = max(0.0, outcome.finish_seconds - busy)
        joules += busy * card.type.watts + idle * card.type.watts_idle
    kwh = joules / JOULES_PER_KWH
    return Figures(
        cards=plan.count,
        finished=outcome.finished,
        seconds=outcome.finish_seconds,
        clips={state.value: n for state, n in outcome.states.items()},
        utilisation=outcome.utilisation,
        idle_share=outcome.idle_share,
        kwh=kwh,
        electricity=kwh * kwh_price,
        price=sum(number * card.price for number, card in plan.cards),
        deaths=outcome.record.counts["death"],
        yields=outcome.record.counts["yield"],
        speeds=plan.speeds.value,
    )


def fewest_cards(would_do: Callable[[int], bool], guess: int) -> int | None:
    """The fewest cards for which `would_do` holds, if more cards are never worse.

    Doubles or halves from `guess` until the answer lies between two numbers, then bisects. None
    when not even `CARDS_TRIED_MAX` would do.
    """
    low, high = 0, max(1, guess)
    while not would_do(high):
        if high >= CARDS_TRIED_MAX:
            return None
        low, high = high, min(CARDS_TRIED_MAX, 2 * high)
    while low < high - 1:
        middle = (low + high) // 2
        if would_do(middle):
            high = middle
        else:
            low = middle
    return high
