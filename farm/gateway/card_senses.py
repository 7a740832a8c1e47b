"""What cards tell of themselves, as metrics. What a card cannot tell is absent, never 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from heliostat.v1 import types_pb2 as types_pb

_GAUGES: Final = MappingProxyType(
    {
        "power_watts": ("power_watts", "Power of the card's board now."),
        "temperature_celsius": ("temperature_celsius", "Temperature of the card's chip."),
        "sm_clock_hertz": ("sm_clock_hertz", "Clock of the card's multiprocessors now."),
        "memory_clock_hertz": ("memory_clock_hertz", "Clock of the card's memory now."),
        "vram_used_bytes": ("memory_used_bytes", "GPU memory in use, by whatever program."),
        "utilization_ratio": ("utilization_ratio", "Share of the time in which a kernel ran."),
        "fan_ratio": ("fan_ratio", "Speed of the card's fan, of its highest."),
        "pcie_generation": ("pcie_generation", "PCI Express generation now; less when idle."),
        "pcie_width": ("pcie_width", "PCI Express lanes now."),
        "host_ram_used_bytes": ("host_memory_used_bytes", "Memory in use on the card's machine."),
    }
)
"""Optional field of `CardTelemetry` → gauge (without prefix) and its help."""

_COUNTERS: Final = MappingProxyType(
    {
        "throttled_seconds": ("throttled_seconds", "Slowed down by heat or a lack of power."),
        "xid_errors": ("xid_errors", "Critical errors (Xid) that the driver reported."),
    }
)
"""Optional field of `CardTelemetry` → metric (without prefix and `_total`) and its help."""


def sense_metrics(cards: Sequence[types_pb.Card]) -> Iterator[Metric]:
    """Readings of the cards that are online; of silent ones only what goes on counting."""
    for field, (name, text) in _GAUGES.items():
        gauge = GaugeMetricFamily(f"heliostat_card_{name}", text, labels=["card"])
        for card in cards:
            if card.online and _tells(card, field):
                gauge.add_metric([card.card_id], getattr(card.telemetry, field))
        yield gauge
    for field, (name, text) in _COUNTERS.items():
        counter = CounterMetricFamily(f"heliostat_card_{name}", text, labels=["card"])
        for card in cards:
            if _tells(card, field):
                counter.add_metric([card.card_id], getattr(card.telemetry, field))
        yield counter
    energy = CounterMetricFamily(
        "heliostat_card_energy_joules",
        "Of the GPU board only; by its own counter, or from samples of its power.",
        labels=["card", "method"],
    )
    for card in cards:
        if _tells(card, "energy_joules"):
            labels = [card.card_id, card.telemetry.energy_method]
            energy.add_metric(labels, card.telemetry.energy_joules)
    yield energy


def _tells(card: types_pb.Card, field: str) -> bool:
    return card.telemetry.HasField(field)  # type: ignore[arg-type]
