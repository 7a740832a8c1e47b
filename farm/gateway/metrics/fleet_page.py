"""The page: the coordinator's view, and below it what passed through this gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

import farm
from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics import cards, coordinator, economics, fleet
from farm.gateway.metrics.text import Family, gauge
from farm.plan.tariff import Tariff

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class FleetPage:
    """Writes the page of a view; of the same view only once. A scrape asks nobody."""

    def __init__(self, registry: CollectorRegistry, tariff: Tariff) -> None:
        """`registry` has this gateway's own meters."""
        self._registry = registry
        self._tariff = tariff
        self._writing = threading.Lock()
        self._highest = economics.Highest()
        self._written: tuple[Fleet, bytes] | None = None

    def write(self, view: Fleet | None) -> bytes:
        """In Prometheus's text format; without a view, while the coordinator does not answer, of
        the fleet nothing is known."""
        with self._writing:
            if view is None:
                known = _bytes(of_gateway(None))
            elif self._written is not None and self._written[0] is view:
                known = self._written[1]
            else:
                known = _bytes((*of_gateway(view), *of_fleet(view, self._tariff, self._highest)))
                self._written = (view, known)
        return known + generate_latest(self._registry)


def of_gateway(view: Fleet | None) -> Iterator[Family]:
    """What is always there."""
    build = gauge("build_info", "The version that runs.")
    build.add(1, version=farm.__version__)
    yield build
    yield gauge("coordinator_up", "1 when the coordinator answers.", view is not None)


def of_fleet(view: Fleet, tariff: Tariff, highest: economics.Highest) -> Iterator[Family]:
    """All that the coordinator knows; families of which nothing is known have no samples."""
    yield from fleet.families(view)
    yield from economics.families(view, tariff, highest)
    yield from coordinator.families(view)
    yield from cards.families(view.cards)


def _bytes(families: Iterator[Family] | tuple[Family, ...]) -> bytes:
    return "".join(line for family in families for line in family.lines()).encode()
