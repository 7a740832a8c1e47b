"""What cards, electricity, rented H100s and clouds cost: a house puts its own figures in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from farm.plan.card_table import CARDS

CARD_PRICES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "h100": 30_000.0,
        "h200": 35_000.0,
        "a100": 15_000.0,
        "l4": 2_500.0,
        "rtx-3060": 280.0,
        "rtx-3090": 800.0,
        "rtx-4060-ti": 450.0,
        "rtx-4060-ti-8gb": 400.0,
        "rtx-4070-ti-super": 800.0,
        "rtx-4090": 1_800.0,
        "rtx-5090": 2_500.0,
    }
)
"""US dollars of one card, new, by type. Assumed, rough."""
HOURS_OF_YEAR: Final = 8766.0
CLOUD_FPS: Final = 24.0
"""Frames of a second of video, where a cloud charges by the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Prices in one currency. docs/quotes.md says of each default who published or assumed it."""

    currency: str = "USD"
    """ISO 4217; the defaults are in US dollars."""
    electricity_price: float = 0.17
    """Of a kWh."""
    card_prices: Mapping[str, float] = field(default_factory=dict)
    """By type; goes before `CARD_PRICES`."""
    card_years: float = 3.0
    """Over which a card's price is spread, at work for all of their hours."""
    card_watts: float = 65.0
    """Of a card that does not say what it draws, nor is known by its type: a CPU slot."""
    host_price: float = 350.0
    """Of the machine around one card: board, CPU, RAM, power supply, its share where a machine
    holds several. Assumed."""
    h100_hour_price: float = 2.5
    """Of one rented by the hour."""
    cloud_prices: tuple[float, float, float] = (2.0, 4.0, 8.0)
    """Of a generation: lowest, average, highest."""
    cloud_second_price: float = 0.0
    """Of a second of video; above 0 it takes the place of the average of a generation."""

    def price_of(self, card_type: str) -> float:
        """Of a card; 0 where no price is known."""
        return self.card_prices.get(card_type, CARD_PRICES.get(card_type, 0.0))

    def card_hour(self, card_type: str) -> float:
        """An hour's share of a card's price."""
        return self.price_of(card_type) / (self.card_years * HOURS_OF_YEAR)

    def watts_of(self, card_type: str, power_cap_watts: float) -> float:
        """What a card draws at work where it does not measure that: at most its cap."""
        known = CARDS.get(card_type)
        return power_cap_watts or (known.watts if known else self.card_watts)

    def money(self, card_type: str, card_seconds: float, joules: float) -> float:
        """Electricity, and the card's share of its price."""
        electricity = joules / 3.6e6 * self.electricity_price
        return electricity + card_seconds / 3600 * self.card_hour(card_type)

    def cloud(self, clips: int, frames: int) -> tuple[float, float, float]:
        """For as many generations of as many frames: likely, lowest, highest."""
        low, average, high = (clips * price for price in self.cloud_prices)
        if self.cloud_second_price > 0:
            average = frames / CLOUD_FPS * self.cloud_second_price
        return average, min(low, average), max(high, average)


class TariffSettings(Protocol):
    """Settings that name prices, each as `Tariff` has it."""

    @property
    def currency(self) -> str: ...  # noqa: D102 - as in Tariff, here as below
    @property
    def electricity_price(self) -> float: ...  # noqa: D102
    @property
    def card_prices(self) -> str: ...  # noqa: D102
    @property
    def card_years(self) -> float: ...  # noqa: D102
    @property
    def card_watts(self) -> float: ...  # noqa: D102
    @property
    def host_price(self) -> float: ...  # noqa: D102
    @property
    def h100_hour_price(self) -> float: ...  # noqa: D102
    @property
    def cloud_prices(self) -> str: ...  # noqa: D102
    @property
    def cloud_second_price(self) -> float: ...  # noqa: D102


def tariff_of(settings: TariffSettings) -> Tariff:
    """The prices that settings name. Raises `ValueError` for what is no price."""
    return Tariff(
        currency=settings.currency,
        electricity_price=settings.electricity_price,
        card_prices=parse_prices(settings.card_prices),
        card_years=settings.card_years,
        card_watts=settings.card_watts,
        host_price=settings.host_price,
        h100_hour_price=settings.h100_hour_price,
        cloud_prices=parse_cloud(settings.cloud_prices),
        cloud_second_price=settings.cloud_second_price,
    )


def parse_prices(text: str) -> dict[str, float]:
    """`rtx-4060-ti=420,h100=28000` by type. Raises `ValueError` with what is wrong."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = part.partition("=")
        try:
            price = float(number)
        except ValueError:
            price = -1.0
        if not (equals and name.strip() and 0 <= price < 1e9):
            raise ValueError(f"{part!r} is no price of a card: write TYPE=PRICE")
        found[name.strip().lower()] = price
    return found


def parse_cloud(text: str) -> tuple[float, float, float]:
    """`2,4,8`: lowest, average, highest price of a generation. Raises `ValueError`."""
    try:
        low, average, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not LOWEST,AVERAGE,HIGHEST such as 2,4,8") from None
    if not 0 <= low <= average <= high < 1e9:
        raise ValueError(f"{text!r} is not in rising order: write LOWEST,AVERAGE,HIGHEST")
    return low, average, high
