"""*Fleet*: the cards, their health, and what each of them makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import board as boards
from .board import Panel
from .panels import FPS, Column, Query, cards, lines, number
from .promql import CARDS, card, card_rate, fleet, joined, per

NAME: Final = "fleet"

_PLACE: Final = {
    "hostname": "Node", "slot": "Slot", "rack": "Rack", "circuit": "Circuit", "device": "Device",
    "renderer": "Renderer", "model": "Model",
}  # fmt: skip
SHOWN: Final = 20
"""Cards in one picture: of two thousand, those that a person should look at."""
_HOT_CELSIUS: Final = 85
_SILENT_SECONDS: Final = 30
_SKEWED_SECONDS: Final = 5


def board() -> Dashboard:
    """The dashboard."""
    about = (
        "Every card: what it makes, how warm it is, and what ails it. Courses are of the "
        f"{SHOWN} cards that stand out most, of those picked at the top."
    )
    dashboard = boards.new(NAME, "Fleet", about)
    for name, title in (("rack", "Rack"), ("hostname", "Node")):
        dashboard.with_variable(boards.choice(name, title, "heliostat_card_info"))
    return boards.filled(
        dashboard,
        {
            "Now": _now(),
            "Cards": [_table()],
            "Work": _work(),
            "Health": _health(),
            "Memory and disks": _memory(),
            "Racks and circuits": _racks(),
        },
    )


def _now() -> Sequence[Panel]:
    throttled = "count(rate(heliostat_card_throttled_seconds_total[5m]) > 0.01) or vector(0)"
    xids = "sum(max by (card) (increase(heliostat_card_xid_errors_total[$__range])))"
    return [
        number(
            "Online", "Heard of within their lease.", Query(fleet("cards", where='state="online"'))
        ),
        number(
            "Offline", "Known, and silent or dead.",
            Query(fleet("cards", where='state="offline"')), worst=1,
        ),
        number("Render now", "Online, with a clip begun.", Query(fleet("cards_earning"))),
        number(
            "Throttled", "Slowed down by heat or a lack of power in the last five minutes.",
            Query(throttled), worst=1,
        ),
        number(
            "Xid errors", "Critical errors that drivers reported in the time shown.", Query(xids),
            worst=1, decimals=0,
        ),
        number(
            "Hottest", "Of all chips.", Query("max(heliostat_card_temperature_celsius)"),
            unit="celsius", worst=_HOT_CELSIUS,
        ),
    ]  # fmt: skip


def _table() -> Panel:
    info = f"max by (card, {', '.join(_PLACE)}) (heliostat_card_info{{{CARDS}}})"
    columns = [
        Column("FPS", card("frames_per_second")),
        Column("Of calibrated", f"{card('frames_per_second')} / "
               f"{card('calibrated_frames_per_second')}", "percentunit"),
        Column("Online", card("online"), "bool_yes_no"),
        Column("Clips", card("clips_held")),
        Column("Temperature", card("temperature_celsius"), "celsius", _HOT_CELSIUS),
        Column("Power", card("power_watts"), "watt"),
        Column("Power limit", card("power_limit_watts"), "watt"),
        Column("Memory", f"{card('memory_used_bytes')} / {card('memory_bytes')}", "percentunit"),
        Column("Throttled", card_rate("throttled_seconds_total", "5m"), "percentunit", 0.01),
        Column("Spool", card("spool_bytes"), "bytes"),
        Column("Free for spool", card("spool_free_bytes"), "bytes"),
        Column("Xid", "max by (card) (heliostat_card_xid_errors_total)", "short", 1),
        Column("Silent", card("silence_seconds"), "s", _SILENT_SECONDS),
    ]  # fmt: skip
    about = (
        "Measured, by the cards themselves. What a card cannot tell is empty. Join other "
        "exporters (DCGM, node) by the label `uuid` of heliostat_card_info."
    )
    return cards("Every card", about, _PLACE, info, columns)


def _most(value: str) -> Query:
    return Query(f"topk({SHOWN}, {joined(value, 'hostname')})", "{{card}}")


def _least(value: str) -> Query:
    return Query(f"bottomk({SHOWN}, {joined(value, 'hostname')})", "{{card}}")


def _work() -> Sequence[Panel]:
    rendered = card_rate("render_busy_seconds_total")
    idle = card_rate("render_idle_seconds_total")
    return [
        lines("Cards by state", "Offline: silent for longer than a lease, or dead.",
              Query(fleet("cards", "state"), "{{state}}"), span=8, stacked=True),
        lines(
            "Cards by standing", "What may get clips, as people and the farm's examinations say.",
            Query(f"sum by (standing) ({fleet('card_standing', 'card', 'standing')})",
                  "{{standing}}"),
            span=8, stacked=True,
        ),
        lines(
            "Cards wanted", "Further cards that queued clips could use now.",
            Query(f"{fleet('cards_wanted', 'card_type')} or vector(0)", "{{card_type}}"), span=8,
        ),
        lines("Frames per second", "Measured, over five minutes.",
              _least("heliostat:card_frames:rate5m"), unit=FPS),
        lines("Share of the time at work",
              "Measured, of the time with clips at hand: passes and decodes, the rest is waiting.",
              _least(f"{rendered} / ({rendered} + {idle})"), unit="percentunit"),
        lines("Seconds for a denoising pass", "Measured.",
              _most(f"{card_rate('pass_seconds_total')} / {card_rate('passes_total')}"),
              unit="s"),
        lines("Seconds to encode a chunk", "Measured.",
              _most(
                  f"{card_rate('encode_seconds_total')} / {card_rate('chunks_rendered_total')}"
              ),
              unit="s"),
    ]  # fmt: skip


def _health() -> Sequence[Panel]:
    return [
        lines("Temperature", "Of the chips.", _most(card("temperature_celsius")),
              unit="celsius", least=None),
        lines("Power", "Of the boards alone.", _most(card("power_watts")), unit="watt"),
        lines("Throttled", "Share of the time slowed down by heat or a lack of power.",
              _most(card_rate("throttled_seconds_total")), unit="percentunit"),
        lines("Xid errors", "Critical errors that drivers reported, in five minutes.",
              _most("max by (card) (increase(heliostat_card_xid_errors_total[5m]))")),
        lines("Silence", "Time since a card's last exchange; 10 s are usual at most.",
              _most(card("silence_seconds")), unit="s", span=8),
        lines("Clocks off", f"Ahead of the head's, or behind; at {_SKEWED_SECONDS} s see NTP.",
              _most(f"abs({card('clock_ahead_seconds')})"), unit="s", span=8),
        lines("Render children started again", "In an hour: a driver or memory in trouble.",
              _most("max by (card) (increase(heliostat_card_child_restarts_total[1h]))"),
              span=8),
    ]  # fmt: skip


def _memory() -> Sequence[Panel]:
    return [
        lines("GPU memory in use", "By whatever program.", _most(card("memory_used_bytes")),
              unit="bytes"),
        lines("Memory in use on nodes", "By whatever program, of the whole machine.",
              _most(card("host_memory_used_bytes")), unit="bytes"),
        lines("Spool", "What waits on nodes' disks to be uploaded.",
              _most(card("spool_bytes")), unit="bytes"),
        lines("Free for the spool", "Where it lies.",
              _least(card("spool_free_bytes")), unit="bytes"),
    ]  # fmt: skip


def _racks() -> Sequence[Panel]:
    return [
        lines("Frames per second by rack", "Measured.",
              Query(per("rack", card("frames_per_second")), "rack {{rack}}"),
              unit=FPS, span=8, stacked=True),
        lines("Cards online by rack", "A rack that drops to none lost its switch or its power.",
              Query(per("rack", card("online")), "rack {{rack}}"), span=8, stacked=True),
        lines("Power by circuit", "Of the boards alone: hosts and losses come on top.",
              Query(per("circuit", card("power_watts")), "circuit {{circuit}}"),
              unit="watt", span=8, stacked=True),
    ]  # fmt: skip
