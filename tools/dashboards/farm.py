"""*Farm against H100*: what the fleet renders, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import board as boards
from .board import Panel
from .panels import FPS, Query, lines, number
from .promql import card, fleet, per

NAME: Final = "farm-against-h100"

_CARD_TYPES: Final = per("card_type", card("frames_per_second"))


def board() -> Dashboard:
    """The dashboard."""
    about = "Does a fleet of cheap cards beat one H100 for the same money? Measured live."
    dashboard = boards.new(NAME, "Farm against H100", about)
    for name, title in (("rack", "Rack"), ("hostname", "Node")):
        dashboard.with_variable(boards.choice(name, title, "heliostat_card_info"))
    return boards.filled(
        dashboard,
        {"Now": _now(), "Frames": _frames(), "For the money": _money(), "At work": _work()},
    )


def _now() -> Sequence[Panel]:
    equivalents = Query(fleet("h100_equivalents", "basis"), "{{basis}}")
    return [
        number(
            "Rendered", "Measured: frames that all cards rendered, over the last minute.",
            Query(fleet("rendered_frames_per_second")), unit=FPS, decimals=1,
        ),
        number(
            "Delivered", "Measured: frames of verified takes, over the last minute.",
            Query(fleet("delivered_frames_per_second")), unit=FPS, decimals=1,
        ),
        number(
            "H100 equivalents",
            "Rendered frames per second over those of the baseline at the same variant, steps and "
            "size. The basis says where the baseline's come from: published, measured, or "
            "estimated by TFLOP per frame where nobody published that work.",
            equivalents, decimals=2,
        ),
        number(
            "Baseline", "What the fleet is compared with, at the work that its name says.",
            Query(
                fleet("baseline_frames_per_second", "name", "steps", "size", "basis"),
                "{{name}} {{steps}} {{size}} ({{basis}})",
            ),
            unit=FPS, decimals=2,
        ),
        number(
            "Of the calibrated rate",
            "Measured: rendered over what the cards at work should render by their own pace.",
            Query(fleet("calibrated_ratio")), unit="percentunit", decimals=0,
        ),
        number(
            "At work", "Measured: cards that render, of those that are online.",
            Query(fleet("utilization_ratio")), unit="percentunit", decimals=0,
        ),
    ]  # fmt: skip


def _frames() -> Sequence[Panel]:
    baseline = fleet("baseline_frames_per_second", "name", "steps", "size", "basis")
    return [
        lines(
            "Frames per second",
            "Measured, over five minutes; the calibrated rate is what the cards at work should "
            "make by their own pace. The baseline's line is at its own steps and size: compare by "
            "H100 equivalents where the farm renders other work.",
            Query("heliostat:frames_rendered:rate5m", "rendered"),
            Query("heliostat:frames_delivered:rate5m", "delivered"),
            Query(fleet("calibrated_frames_per_second"), "calibrated"),
            Query(baseline, "{{name}} {{steps}} {{size}} ({{basis}})"),
            unit=FPS,
        ),
        lines(
            "H100 equivalents",
            "Like for like, by where the baseline's figure comes from, and the mean of five "
            "minutes.",
            Query(fleet("h100_equivalents", "basis"), "{{basis}}"),
            Query("heliostat:h100_equivalents:avg5m", "mean of 5 minutes"),
        ),
    ]  # fmt: skip


def _money() -> Sequence[Panel]:
    of = ("of", "currency")
    legend = "of {{of}}, {{currency}}"
    return [
        lines(
            "Frames per second for 1000 of money",
            "Rendered (measured) over the price of the cards alone, and of whole nodes: host, "
            "memory and power supply counted in. Prices are settings, or assumed.",
            Query(fleet("frames_per_second_per_1000", *of), legend), unit=FPS, span=8,
        ),
        lines(
            "Frames per second per kilowatt",
            "Measured: rendered over the power of the GPU boards alone.",
            Query(fleet("frames_per_second_per_kilowatt"), "per kW"), unit=FPS, span=8,
        ),
        lines(
            "Price of the fleet", "Settings, or assumed: of all cards, and of whole nodes.",
            Query(fleet("fleet_price", *of), legend), span=8,
        ),
    ]  # fmt: skip


def _work() -> Sequence[Panel]:
    return [
        lines(
            "By type of card", "Measured: frames per second of all cards of a type.",
            Query(_CARD_TYPES, "{{card_type}}"), unit=FPS, span=8, stacked=True,
        ),
        lines(
            "Of the calibrated rate",
            "Measured: what falls below 1 is heat, a lack of power, or a card that others use.",
            Query(fleet("calibrated_ratio"), "rendered / calibrated"),
            Query("heliostat:utilization:ratio5m", "at work / online"),
            unit="percentunit", span=8,
        ),
        lines(
            "Rendered in vain",
            "Measured: rendered frames of the last hour that are in no delivered take.",
            Query("heliostat:frames_wasted:ratio1h", "wasted / rendered"),
            unit="percentunit", span=8,
        ),
    ]  # fmt: skip
