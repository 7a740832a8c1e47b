"""When hardware of one's own has paid for itself against a cloud. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PAYS_ABOVE: Final = 1.0
"""Duration Tax rate above which the hardware pays for itself within a month."""
CLOUD_BELOW: Final = 0.15
"""Duration Tax rate below which a cloud stays the practical choice."""
WEEKS_OF_YEAR: Final = 52
MONTHS_OF_YEAR: Final = 12


class Verdict(StrEnum):
    """What a Duration Tax rate says."""

    BUY = "the hardware pays for itself within a month"
    BETWEEN = "the hardware pays for itself, though not within a month"
    CLOUD = "a cloud stays the practical choice"


def duration_tax_rate(cloud_price: float, monthly: float, hardware: float) -> float:
    """(average price of a generation x generations a month) / price of the hardware.

    In parts of the hardware a month. Raises `ValueError` where the hardware has no price.
    """
    if hardware <= 0:
        raise ValueError(f"hardware at {hardware}: want a price above 0")
    return cloud_price * monthly / hardware


def verdict(rate: float) -> Verdict:
    """By the bands: above 1.0, below 0.15, and between."""
    if rate > PAYS_ABOVE:
        return Verdict.BUY
    return Verdict.CLOUD if rate < CLOUD_BELOW else Verdict.BETWEEN


def break_even(hardware: float, cloud_price: float, own_cost: float = 0.0) -> float:
    """Generations until `hardware` is saved: its price / (price in a cloud - cost of one's own).

    Infinite where a clip of one's own costs no less.
    """
    saved = cloud_price - own_cost
    return hardware / saved if saved > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Year:
    """A year of clips in a cloud and on hardware that is there, in one currency."""

    clips: float
    cloud: float
    own: float
    """Running costs alone."""

    @property
    def saved(self) -> float:
        """What a cloud would have cost more."""
        return self.cloud - self.own


def year_of(clips: float, cloud_price: float, own_cost: float) -> Year:
    """So many clips a year, at these prices of one."""
    return Year(clips, clips * cloud_price, clips * own_cost)


@dataclass(frozen=True, slots=True)
class Tier:
    """Somebody with so much to render."""

    name: str
    monthly: int
    """Clips a month."""
    stakeholder: str
    """What the article advises such a one to do."""


TIERS: Final = (
    Tier("freelancer", 50, "independent creators: worth it from 50 clips a month"),
    Tier("studio", 200, "studios: worth it from 200 clips a month"),
    Tier("production house", 1000, "enterprises: wait, for final delivery"),
)
"""Those of the article."""
