"""The kinds of panels that the dashboards are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .board import SOURCE
from .promql import picked

FPS: Final = "suffix: FPS"
WIDTH: Final = 24
"""Of a dashboard, in Grafana's columns."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL, and what a series of it is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table with a row for each card."""

    title: str
    expr: str
    unit: str = "short"
    worst: float | None = None
    """From this value on it stands out."""


def number(
    title: str, about: str, *queries: Query, unit: str = "short", span: int = 4,
    worst: float | None = None, decimals: int | None = None,
) -> stat.Panel:  # fmt: skip
    """What is now, large, with its course behind it. From `worst` on it turns red."""
    panel = stat.Panel().title(title).description(about).datasource(SOURCE)
    panel = panel.unit(unit).span(span).height(4).thresholds(_thresholds(worst))
    panel = panel.graph_mode(BigValueGraphMode.AREA)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel = panel.decimals(decimals)
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def lines(
    title: str, about: str, *queries: Query, unit: str = "short", span: int = 12,
    stacked: bool = False, least: float | None = 0,
) -> timeseries.Panel:  # fmt: skip
    """The course of some series, with their last and highest values. `least` begins the axis."""
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel = timeseries.Panel().title(title).description(about).datasource(SOURCE)
    panel = panel.unit(unit).span(span).height(8).legend(legend).line_width(1)
    panel = panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    panel = panel.fill_opacity(25 if stacked else 5)
    if least is not None:
        panel = panel.min(least)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def cards(title: str, about: str, labels: Mapping[str, str], info: str, columns: Iterable[Column]
) -> table.Panel:  # fmt: skip
    """A row for each card: `labels` (label → title) of the query `info`, then the columns."""
    columns = list(columns)
    panel = table.Panel().title(title).description(about).datasource(SOURCE)
    panel = panel.span(WIDTH).height(12).show_header(True)
    exprs = [info, *(picked(column.expr) for column in columns)]
    names = {"card": "Card", **labels}
    hidden = {"Time": True, f"Value #{_ref(0)}": True}
    for number_of, expr in enumerate(exprs):
        query = _target(Query(expr), _ref(number_of)).instant().format(PromQueryFormat.TABLE)
        panel = panel.with_target(query)
        hidden[f"Time {number_of + 1}"] = True
    for number_of, column in enumerate(columns, start=1):
        names[f"Value #{_ref(number_of)}"] = column.title
        look = [DynamicConfigValue("unit", column.unit)]
        if column.worst is not None:
            look.append(DynamicConfigValue("thresholds", _thresholds(column.worst).build()))
            look.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        panel = panel.override_by_name(column.title, look)
    order = {name: place for place, name in enumerate(names)}
    return panel.with_transformation(
        DataTransformerConfig("joinByField", options={"byField": "card", "mode": "outer"})
    ).with_transformation(
        DataTransformerConfig(
            "organize",
            options={"excludeByName": hidden, "indexByName": order, "renameByName": names},
        )
    )


def _thresholds(worst: float | None) -> ThresholdsConfig:
    steps = [Threshold(value=None, color="green" if worst is not None else "text")]
    if worst is not None:
        steps.append(Threshold(value=worst, color="red"))
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _targets(queries: Iterable[Query]) -> Iterable[Dataquery]:
    return (_target(query, _ref(place)).range() for place, query in enumerate(queries))


def _target(query: Query, ref: str) -> Dataquery:
    target = Dataquery().expr(query.expr).ref_id(ref).datasource(SOURCE)
    return target.legend_format(query.legend or "__auto")


def _ref(place: int) -> str:
    """A, B, C …"""
    return chr(ord("A") + place)
