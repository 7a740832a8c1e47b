"""What the fleet draws, costs and has used, against what it makes."""

from __future__ import annotations

from collections.abc import Iterator

from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics.text import Family, counter, gauge, ratio
from farm.plan.tariff import Tariff
from heliostat.v1 import fleet_service_pb2 as fleet_pb


class Highest:
    """The highest value so far, by name: what was rendered becomes waste when its clip is given up,
    and a counter that goes back would be taken for one that began anew."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def of(self, name: str, value: float) -> float:
        """`value`, or the highest before it."""
        self._values[name] = max(value, self._values.get(name, 0.0))
        return self._values[name]


def families(fleet: Fleet, tariff: Tariff, highest: Highest) -> Iterator[Family]:
    """Of boards alone, where it is of power; `tariff` says what cards and machines cost."""
    yield from _power(fleet)
    yield from _prices(fleet, tariff)
    used = fleet.view.usage if fleet.view.HasField("usage") else None
    yield from _usage(used, highest)
    yield from _per_delivered_second(used)


def _power(fleet: Fleet) -> Iterator[Family]:
    measuring = [c for c in fleet.cards if c.online and c.telemetry.HasField("power_watts")]
    watts = sum(card.telemetry.power_watts for card in measuring)
    frames = sum(card.frames_per_second for card in measuring)
    yield gauge(
        "fleet_power_watts",
        "Of the GPU boards of all cards that are online and measure it.",
        watts if measuring else None,
    )
    yield gauge(
        "frames_per_second_per_kilowatt",
        "Rendered by the cards that measure their power, over it.",
        ratio(frames, watts / 1000),
    )


def _prices(fleet: Fleet, tariff: Tariff) -> Iterator[Family]:
    online = [card for card in fleet.cards if card.online]
    cards = sum(tariff.price_of(card.card_type) for card in online)
    price = gauge("fleet_price", "Of the cards that are online, alone and with their machines.")
    worth = gauge(
        "frames_per_second_per_1000",
        "Rendered by the whole fleet, over the price of the cards online in thousands.",
    )
    for of, total in (("cards", cards), ("nodes", cards + len(online) * tariff.host_price)):
        labels = {"of": of, "currency": tariff.currency}
        price.add(total or None, **labels)
        worth.add(ratio(fleet.view.rendered_frames_per_second, total / 1000), **labels)
    yield from (price, worth)


def _usage(used: fleet_pb.FarmUsage | None, highest: Highest) -> Iterator[Family]:
    seconds = counter("card_seconds_total", "Of cards, by what became of them.")
    joules = counter(
        "energy_joules_total", "Of GPU boards, likewise; estimated where not measured."
    )
    money = counter("money_total", "Electricity and the cards' share of their price, likewise.")
    if used is not None:
        for field, family in (("card_seconds", seconds), ("joules", joules), ("money", money)):
            labels = {"currency": used.currency} if family is money else {}
            waste = getattr(used, f"waste_{field}")
            rendered = highest.of(field, getattr(used, field) - waste)
            family.add(rendered, use="render", **labels)
            family.add(waste, use="waste", **labels)
            family.add(getattr(used, f"idle_{field}"), use="idle", **labels)
    yield from (seconds, joules, money)
    yield counter(
        "waste_frames_total",
        "Rendered frames that are in no take, and will be in none.",
        used and used.waste_frames,
    )
    yield counter(
        "video_seconds_delivered_total",
        "Of takes, by their own frame rates.",
        used and used.delivered_video_seconds,
    )


def _per_delivered_second(used: fleet_pb.FarmUsage | None) -> Iterator[Family]:
    joules = gauge(
        "joules_per_delivered_second",
        "Of the farm's whole life, waste and idling counted in.",
    )
    money = gauge(
        "money_per_delivered_second", "Of the farm's whole life, waste and idling counted in."
    )
    if used is not None:
        seconds = used.delivered_video_seconds
        joules.add(ratio(used.joules + used.idle_joules, seconds))
        money.add(ratio(used.money + used.idle_money, seconds), currency=used.currency)
    yield from (joules, money)
