"""What a generation costs on a fleet, on hardware bought or rented, and in clouds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farm.plan.economics import Basis
from farm.plan.money.comparators import CLOUD, RENTED, Comparator
from farm.plan.money.figure import Figure, derived
from farm.plan.money.machines import Machines
from farm.plan.money.scenario import ASKED, MONTHLY, UTILISATION, YEAR_SECONDS, Prices

MONTH_SECONDS: Final = YEAR_SECONDS / 12


@dataclass(frozen=True, slots=True)
class Costs:
    """A generation on a fleet; None is what is not known."""

    machines: Machines
    prices: Prices

    @property
    def utilisation(self) -> Figure:
        """Part of their time that cards render."""
        asked = self.prices.asked.utilisation
        if asked is not None:
            return Figure(asked, "", Basis.ASSUMED, ASKED)
        usual = Figure(UTILISATION, "", Basis.ASSUMED, "cards at work all the time")
        return self.machines.utilisation or usual

    @property
    def monthly(self) -> Figure:
        """Generations a month."""
        asked = self.prices.asked.monthly
        if asked is not None:
            return Figure(asked, "clips", Basis.ASSUMED, ASKED)
        usual = Figure(MONTHLY, "clips", Basis.ASSUMED, "a studio, as the article has it")
        return self.machines.monthly or usual

    @property
    def card_seconds(self) -> Figure | None:
        """Of one mean card, for a generation."""
        rate = self.machines.rate
        if rate is None or rate.value <= 0:
            return None
        each = self.prices.asked.rendered_frames * self.machines.cards / rate.value
        return derived(each, "s", "frames of whole chunks / FPS of a card", rate)

    @property
    def joules(self) -> Figure | None:
        """Of a generation: by what the farm has used so far, else by its cards at work."""
        asked, used = self.prices.asked, self.machines.joules_per_second
        if used is not None:
            source = "joules per delivered second, waste and idling counted in, x seconds"
            return derived(used.value * asked.clip_seconds, "J", source, used)
        rate, watts = self.machines.rate, self.machines.watts
        if rate is None or watts is None or rate.value <= 0:
            return None
        joules = watts.value * asked.rendered_frames / rate.value
        return derived(joules, "J", "W of the boards x frames of whole chunks / FPS", watts, rate)

    @property
    def electricity(self) -> Figure | None:
        """What a generation's energy costs: all that it costs, once the hardware is there."""
        joules, price = self.joules, self.prices.electricity
        if joules is None:
            return None
        cost = self.prices.power(joules.value)
        return derived(cost, self.prices.currency, "J / 3.6e6 x price of a kWh", joules, price)

    def whole(self, *, nodes: bool, utilisation: float = 0.0) -> Figure | None:
        """A generation's electricity and its share of the price of cards, or of nodes."""
        price, power = self.machines.price(self.prices, nodes=nodes), self.electricity
        rate = self.machines.rate
        if price is None or power is None or rate is None:
            return None
        seconds = self.prices.asked.rendered_frames / rate.value
        wear = self.prices.wear(price.value, seconds, utilisation or self.utilisation.value)
        source = "electricity + price x time / life / utilisation"
        return derived(
            power.value + wear, self.prices.currency, source, power, price, self.utilisation
        )

    @property
    def capacity(self) -> Figure | None:
        """Generations that the fleet makes in a month."""
        rate, used = self.machines.rate, self.utilisation
        if rate is None:
            return None
        clips = rate.value * used.value * MONTH_SECONDS / self.prices.asked.rendered_frames
        source = "FPS x utilisation x seconds of a month / frames of whole chunks"
        return derived(clips, "clips", source, rate, used)


def hardware_of(other: Comparator, prices: Prices) -> Figure | None:
    """The price of what a comparator runs on; None where it is none of one's own."""
    own = {**prices.tariff.card_prices, **prices.asked.card_prices}
    if other.price > 0 and other.hardware in own:
        return prices.card(other.hardware)
    if other.price > 0:
        return Figure(other.price, prices.currency, other.price_basis, other.source)
    return None


def cost_of(other: Comparator, prices: Prices) -> Figure | None:
    """A generation by a comparator; None where it cannot be told."""
    asked, currency = prices.asked, prices.currency
    own = Figure(0.0, "", other.basis, other.source)
    if other.generation_price > 0:
        return derived(other.generation_price, currency, other.source, own)
    if other.second_price > 0:
        cost = other.second_price * asked.clip_seconds
        return derived(cost, currency, "price of a second x seconds", own)
    if other.name == CLOUD:
        return _cloud(prices)
    if other.frames_per_second <= 0:
        return None
    seconds = asked.rendered_frames / other.frames_per_second
    if other.hour_price > 0:
        return derived(seconds / 3600 * other.hour_price, currency, "hours x price", own)
    if other.name == RENTED:
        cost = seconds / 3600 * prices.h100_hour.value
        return derived(cost, currency, "hours x price of an hour", own, prices.h100_hour)
    price = hardware_of(other, prices)
    if price is None:
        return None
    cost = prices.wear(price.value, seconds, 1.0) + prices.power(other.watts * seconds)
    source = "electricity + price x time / life, at work all the time"
    return derived(cost, currency, source, own, price, prices.electricity)


def _cloud(prices: Prices) -> Figure:
    """By the generation, or by the second where the house has set that."""
    second = prices.applied.cloud_second_price
    if second > 0 and prices.asked.cloud_price is None:
        cost = second * prices.asked.clip_seconds
        source = "setting cloud_second_price x seconds"
        return Figure(cost, prices.currency, Basis.ASSUMED, source)
    return prices.cloud
