"""Queries of the farm's metrics (docs/dashboards.md): who tells what, and how it is added up.

Every gateway tells the same of the farm and of its cards, so several of them are not added up but
the highest is taken. What passed through a gateway itself is added up over all.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = "$__rate_interval"
"""Grafana's: never less than four scrapes."""

CARDS: Final = 'rack=~"$rack", hostname=~"$hostname"'
"""What the variables of the fleet's dashboard pick, among the labels of `heliostat_card_info`."""


def fleet(name: str, *by: str, where: str = "") -> str:
    """A gauge that each gateway tells alike."""
    return f"max{_by(by)}(heliostat_{name}{_where(where)})"


def fleet_rate(name: str) -> str:
    """Per second, of a counter that each gateway tells alike."""
    return f"max(rate(heliostat_{name}[{WINDOW}]))"


def fleet_increase(name: str) -> str:
    """Over the time shown, of a counter that each gateway tells alike."""
    return f"max(increase(heliostat_{name}[$__range]))"


def spent(name: str, *by: str, where: str = "") -> str:
    """Over the time shown, of a sum by use.

    What was rendered can become waste: such a sum may step down, which is no start from zero.
    """
    return f"clamp_min(max{_by(by)}(delta(heliostat_{name}{_where(where)}[$__range])), 0)"


def spent_rate(name: str, *by: str) -> str:
    """Per second, of a sum by use."""
    return f"clamp_min(max{_by(by)}(deriv(heliostat_{name}[{WINDOW}])), 0)"


def gateways_rate(name: str, *by: str) -> str:
    """Per second, of a counter of what passed through each gateway."""
    return f"sum{_by(by)}(rate(heliostat_{name}[{WINDOW}]))"


def gateways_increase(name: str, *by: str) -> str:
    """Over the time shown, of a counter of what passed through each gateway."""
    return f"sum{_by(by)}(increase(heliostat_{name}[$__range]))"


def quantile(share: float, name: str) -> str:
    """Of a histogram of the gateways', over the last hour."""
    return f"histogram_quantile({share}, sum by (le) (rate(heliostat_{name}_bucket[1h])))"


def mean(name: str, by_rate: str) -> str:
    """Seconds each, of a sum of seconds and what it is counted by."""
    return f"{fleet_rate(name)} / {fleet_rate(by_rate)}"


def card(name: str) -> str:
    """A card's gauge."""
    return f"max by (card) (heliostat_card_{name})"


def card_rate(name: str, window: str = WINDOW) -> str:
    """Per second, of a card's counter."""
    return f"max by (card) (rate(heliostat_card_{name}[{window}]))"


def joined(value: str, *labels: str) -> str:
    """A value by card, with labels of what the card is; of the cards that are picked."""
    names = ", ".join(labels)
    info = f"max by (card, {names}) (heliostat_card_info{{{CARDS}}})"
    return f"{value} * on (card) group_left ({names}) {info}"


def per(label: str, value: str) -> str:
    """A value by card, added up by what the cards are."""
    return f"sum by ({label}) ({joined(value, label)})"


def picked(value: str) -> str:
    """A value by card, of the cards that are picked."""
    return f"{value} and on (card) heliostat_card_info{{{CARDS}}}"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
