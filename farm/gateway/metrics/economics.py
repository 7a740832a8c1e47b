"""What the fleet draws, costs and has used, against what it makes."""

from __future__ import annotations

from collections.abc import Iterator

from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics.text import Family, counter, gauge, ratio
from farm.plan.tariff import Tariff
from heliostat.v1 import fleet_service_pb2 as fleet_pb


def families(fleet: Fleet, tariff: Tariff) -> Iterator[Family]:
    """Of boards alone, where it is of power; `tariff` says what cards and machines cost."""
    yield from _power(fleet)
    yield from _prices(fleet, tariff)
    used = fleet.view.usage if fleet.view.HasField("usage") else None
    yield from _usage(used)
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


def _usage(used: fleet_pb.FarmUsage | None) -> Iterator[Family]:
    for field, all_of_it, part, text in (
        ("card_seconds", "card_seconds_total", "waste_card_seconds_total", "Seconds of cards"),
        (
            "joules",
            "energy_joules_total",
            "waste_joules_total",
            "Of GPU boards, estimated where not measured",
        ),
        (
            "money",
            "money_total",
            "waste_money_total",
            "Electricity and the cards' share of their price",
        ),
    ):
        by_use = counter(all_of_it, f"{text}, by what they did: rendering or idle.")
        waste = counter(part, f"{text}: the part of rendering that is in no take.")
        if used is not None:
            labels = {"currency": used.currency} if field == "money" else {}
            by_use.add(getattr(used, field), use="render", **labels)
            by_use.add(getattr(used, f"idle_{field}"), use="idle", **labels)
            waste.add(getattr(used, f"waste_{field}"), **labels)
        yield from (by_use, waste)
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
