"""*Cost and energy*: joules and money, for what, and what a second of video takes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import board as boards
from .board import Panel
from .panels import Query, lines, number
from .promql import card, fleet, fleet_increase, per, spent, spent_rate

NAME: Final = "cost-and-energy"

_KWH_JOULES: Final = "3.6e6"
_BOARDS: Final = "GPU boards only; what no sensor measured is estimated by the card's power cap."
_MONEY: Final = "Electricity and the cards' share of their price: prices are settings, or assumed."


def board() -> Dashboard:
    """The dashboard."""
    about = "Joules and money, by use, and for a second of delivered video."
    dashboard = boards.new(NAME, "Cost and energy", about)
    for name, title in (("rack", "Rack"), ("hostname", "Node")):
        dashboard.with_variable(boards.choice(name, title, "heliostat_card_info"))
    return boards.filled(
        dashboard, {"Now": _now(), "By use": _use(), "For a second of video": _second()}
    )


def _share(name: str, use: str) -> str:
    """Of a counter by use, what one use had of it in the time shown."""
    matcher = f'use="{use}"'
    return f"{spent(name, where=matcher)} / sum({spent(name, 'use')})"


def _now() -> Sequence[Panel]:
    energy = f"sum({spent('energy_joules_total', 'use')}) / {_KWH_JOULES}"
    money = f"sum by (currency) ({spent('money_total', 'use', 'currency')})"
    return [
        number("Power", "Measured: of the boards of cards that are online and can tell.",
               Query(fleet("fleet_power_watts")), unit="watt"),
        number("Energy", f"In the time shown. {_BOARDS}", Query(energy), unit="kwatth",
               decimals=2),
        number("Money", f"In the time shown. {_MONEY}", Query(money, "{{currency}}"), decimals=2),
        number("Video delivered", "In the time shown, by the takes' own frame rates.",
               Query(fleet_increase("video_seconds_delivered_total")), unit="s"),
        number("Idle", "Measured: share of the cards' online time without a clip.",
               Query(_share("card_seconds_total", "idle")), unit="percentunit", decimals=1),
        number("Wasted", "Share of the cards' time for frames that are in no take.",
               Query(_share("card_seconds_total", "waste")), unit="percentunit", decimals=1),
    ]  # fmt: skip


def _use() -> Sequence[Panel]:
    return [
        lines("Energy by use", _BOARDS,
              Query(spent_rate("energy_joules_total", "use"), "{{use}}"), unit="watt", span=8,
              stacked=True),
        lines("Money by use", f"An hour. {_MONEY}",
              Query(f"3600 * {spent_rate('money_total', 'use', 'currency')}",
                    "{{use}}, {{currency}}"),
              span=8, stacked=True),
        lines("Cards by use", "Measured: card seconds a second.",
              Query(spent_rate("card_seconds_total", "use"), "{{use}}"), span=8, stacked=True),
        lines("Power by node", "Measured: of the boards alone; the twenty nodes that draw most.",
              Query(f"topk(20, {per('hostname', card('power_watts'))})", "{{hostname}}"),
              unit="watt"),
        lines("Energy measured by cards",
              "By how: the board's own counter, or samples of its power.",
              Query("sum by (method) (max by (card, method) "
                    "(rate(heliostat_card_energy_joules_total[$__rate_interval])))", "{{method}}"),
              unit="watt", stacked=True),
    ]  # fmt: skip


def _second() -> Sequence[Panel]:
    return [
        lines("Joules for a delivered second", f"Retries, waste and idling counted in. {_BOARDS}",
              Query(fleet("joules_per_delivered_second"), "whole life"),
              Query("heliostat:joules_per_delivered_second:rate1h", "last hour"),
              unit="joule", span=8),
        lines("Money for a delivered second", f"Retries, waste and idling counted in. {_MONEY}",
              Query(fleet("money_per_delivered_second", "currency"), "{{currency}}, whole life"),
              Query("heliostat:money_per_delivered_second:rate1h", "last hour"), span=8),
        lines("Frames per second per kilowatt", "Measured: of the boards alone.",
              Query(fleet("frames_per_second_per_kilowatt"), "per kW"), span=8),
    ]  # fmt: skip
