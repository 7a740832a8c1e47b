"""What a batch should take and cost, and what it has: records that are written down as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with the range in which it should lie in nine cases of ten."""

    likely: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a batch, or what is left of one, should take on today's fleet."""

    quoted_at: float
    """Unix seconds, here as below."""
    clips: int
    """To be rendered."""
    frames: int
    chunks: int
    cards: int
    """That may render it."""
    cards_measured: int
    """Of those, the ones with a measured pace."""
    card_hours: Range | None
    """Of cards at work; None, here as below, where no card can render it."""
    hours: Range | None
    """From now to its end, the queue before it counted in."""
    kilowatt_hours: Range | None
    electricity_money: Range | None
    money: Range | None
    """Electricity and the cards' share of their price."""
    money_per_clip: float
    h100_hours: float
    """0 where the renderer has no arithmetic to compare."""
    h100_money: float
    h100_equivalents: float
    """H100s that render as fast as the cards counted on."""
    cloud_money: Range
    currency: str
    basis: str
    """measured, calibrated or estimated."""
    notes: tuple[str, ...] = ()
    reused: int = 0
    """Clips beside these whose takes are there already."""

    def finish(self, hours: float) -> float:
        """Unix seconds after so many hours."""
        return self.quoted_at + 3600 * hours

    def values(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Quote:
        """From what `values` gave."""
        kept: dict[str, Any] = {
            name: Range(**value) if isinstance(value, dict) else value
            for name, value in values.items()
        }
        kept["notes"] = tuple(values["notes"])
        return cls(**kept)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a batch has cost so far, attempts that came to nothing counted in."""

    card_seconds: float = 0.0
    """Of cards at work."""
    joules: float = 0.0
    """Measured where the card can, else its power cap over the time."""
    money: float = 0.0

    def __add__(self, more: Spent) -> Spent:
        return Spent(
            self.card_seconds + more.card_seconds,
            self.joules + more.joules,
            self.money + more.money,
        )

    @property
    def hours(self) -> float:
        """Of cards at work."""
        return self.card_seconds / 3600

    @property
    def kilowatt_hours(self) -> float:
        """The joules, as a bill has them."""
        return self.joules / 3.6e6
