"""What is asked about a fleet beside what it is: prices, tariff, volume, more cards. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, chunks_of
from farm.plan.economics import Basis
from farm.plan.money.figure import Figure
from farm.plan.tariff import CLOUD_FPS, HOURS_OF_YEAR, Tariff

ASKED: Final = "as asked here"
CLIP_SECONDS: Final = 5.0
"""Of video: what clouds sell as one generation."""
MONTHLY: Final = 200.0
"""Generations a month where a farm has none of its own: the article's studio."""
UTILISATION: Final = 1.0
YEAR_SECONDS: Final = HOURS_OF_YEAR * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Figures in the place of the farm's own; None, here as below, is as the farm has it."""

    add_cards: int = 0
    add_type: str = ""
    electricity_price: float | None = None
    """Of a kWh."""
    card_prices: Mapping[str, float] = field(default_factory=dict)
    host_price: float | None = None
    cloud_price: float | None = None
    """Of a generation, on average."""
    h100_hour_price: float | None = None
    utilisation: float | None = None
    """Part of their time that cards render, 0 to 1."""
    monthly: float | None = None
    """Generations a month."""
    clip_seconds: float = CLIP_SECONDS
    """Of video in a generation, at 24 frames a second."""

    @property
    def clip_frames(self) -> int:
        """Frames of a generation."""
        return max(1, round(self.clip_seconds * CLOUD_FPS))

    @property
    def rendered_frames(self) -> int:
        """Those that a card renders for it: whole chunks."""
        return chunks_of(self.clip_frames) * CHUNK_FRAMES

    def problems(self) -> list[str]:
        """What cannot be, each with what could; empty where all can."""
        found = []
        for name, value, most in (
            ("electricity price", self.electricity_price, 1e6),
            ("price of a host", self.host_price, 1e9),
            ("price in a cloud", self.cloud_price, 1e9),
            ("price of an H100 hour", self.h100_hour_price, 1e6),
            ("generations a month", self.monthly, 1e12),
            *((f"price of {name}", price, 1e9) for name, price in self.card_prices.items()),
        ):
            if value is not None and not 0 <= value <= most:
                found.append(f"{name} {value:g}: give 0 to {most:g}")
        if self.utilisation is not None and not 0.001 <= self.utilisation <= 1:
            found.append(f"utilisation {self.utilisation:g}: give a part from 0.001 to 1")
        if not 0.01 <= self.clip_seconds <= 86_400:
            found.append(f"{self.clip_seconds:g} seconds of video: give 0.01 to 86,400")
        if not 0 <= self.add_cards <= 1_000_000:
            found.append(f"{self.add_cards} more cards: give 0 to 1,000,000")
        if bool(self.add_cards) != bool(self.add_type):
            found.append("more cards want both a number and a type, such as 10 rtx-4060-ti")
        return found


@dataclass(frozen=True, slots=True)
class Prices:
    """The farm's tariff with what was asked in its place, as figures."""

    tariff: Tariff
    """As the farm has it."""
    asked: Scenario

    @property
    def applied(self) -> Tariff:
        """The tariff that counts."""
        asked, tariff = self.asked, self.tariff
        low, average, high = tariff.cloud_prices
        if asked.cloud_price is not None:
            average = asked.cloud_price
            low, high = min(low, average), max(high, average)
        return replace(
            tariff,
            electricity_price=_or(asked.electricity_price, tariff.electricity_price),
            card_prices={**tariff.card_prices, **asked.card_prices},
            host_price=_or(asked.host_price, tariff.host_price),
            h100_hour_price=_or(asked.h100_hour_price, tariff.h100_hour_price),
            cloud_prices=(low, average, high),
        )

    @property
    def currency(self) -> str:
        """Of all money."""
        return self.tariff.currency

    def card(self, card_type: str) -> Figure | None:
        """Of one card; None where no price is known."""
        price = self.applied.price_of(card_type)
        if price <= 0:
            return None
        if card_type in self.asked.card_prices:
            source = ASKED
        elif card_type in self.tariff.card_prices:
            source = "setting card_prices"
        else:
            source = f"rough price of a new {card_type}, farm/plan/tariff.py"
        return self._money(price, source)

    def node(self, card_type: str) -> Figure | None:
        """Of one card with its share of a machine; None where no price is known."""
        card, host = self.card(card_type), self.host
        if card is None:
            return None
        return self._money(card.value + host.value, f"card: {card.source}; host: {host.source}")

    @property
    def host(self) -> Figure:
        """Of the machine around a card: board, CPU, RAM, power supply."""
        source = ASKED if self.asked.host_price is not None else "setting host_price"
        return self._money(self.applied.host_price, source)

    @property
    def electricity(self) -> Figure:
        """Of a kWh."""
        asked = self.asked.electricity_price is not None
        price = self.applied.electricity_price
        source = ASKED if asked else "setting electricity_price"
        return Figure(price, f"{self.currency}/kWh", Basis.ASSUMED, source)

    @property
    def cloud(self) -> Figure:
        """Of a generation, on average."""
        price = self.applied.cloud_prices[1]
        if self.asked.cloud_price is not None:
            return self._money(price, ASKED)
        if self.tariff.cloud_prices == Tariff().cloud_prices:
            source = "the article: 2 to 8 a generation, 4 on average"
            return Figure(price, self.currency, Basis.PUBLISHED, source)
        return self._money(price, "setting cloud_prices")

    @property
    def h100_hour(self) -> Figure:
        """Of an H100 rented by the hour."""
        asked = self.asked.h100_hour_price is not None
        source = ASKED if asked else "setting h100_hour_price"
        price = self.applied.h100_hour_price
        return Figure(price, f"{self.currency}/h", Basis.ASSUMED, source)

    def wear(self, price: float, seconds: float, utilisation: float) -> float:
        """The share of a price that so many seconds of work carry."""
        return price * seconds / (self.applied.card_years * YEAR_SECONDS) / utilisation

    def power(self, joules: float) -> float:
        """What electricity costs."""
        return joules / 3.6e6 * self.applied.electricity_price

    def _money(self, value: float, source: str) -> Figure:
        return Figure(value, self.currency, Basis.ASSUMED, source)


def _or(asked: float | None, usual: float) -> float:
    return usual if asked is None else asked
