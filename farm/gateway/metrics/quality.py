"""Metrics of the quality signals that cards report with their takes.

Ratios and shares are as in docs/quality-signals.md; what a card could not measure is not observed.
"""

from __future__ import annotations

import math
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from heliostat.v1 import node_service_pb2 as node_pb

MARKS: Final = ("seam_flicker", "black", "frozen", "over_saturation", "drift")
"""All marks there are; a card's other words become no series."""

_RATIOS: Final = (0.5, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 10, 20)
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1)


class QualityMeters:
    """Signals and marks of the takes that were recorded through this gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        p = "heliostat_take"
        self._measured = {
            "seam_flicker": Histogram(
                f"{p}_seam_flicker_ratio",
                "Change across chunk boundaries over that inside chunks; 1 is no seam.",
                buckets=_RATIOS, registry=registry,
            ),
            "over_saturation": Histogram(
                f"{p}_over_saturation_ratio", "Share of a take's pixels at the gamut's edge.",
                buckets=_SHARES, registry=registry,
            ),
            "drift": Histogram(
                f"{p}_drift_ratio",
                "Distance of a take's end from its beginning in colour, contrast and saturation.",
                buckets=_SHARES, registry=registry,
            ),
        }  # fmt: skip
        self._frames = {
            "black_frames": Counter(
                f"{p}_black_frames", "Near-black frames of takes.", registry=registry
            ),
            "frozen_frames": Counter(
                f"{p}_frozen_frames", "Frames of takes that repeat the one before.",
                registry=registry,
            ),
        }  # fmt: skip
        self._marked = Counter(
            "heliostat_takes_marked", "Takes with a signal beyond its threshold.", ["signal"],
            registry=registry,
        )  # fmt: skip
        for mark in MARKS:
            self._marked.labels(mark)

    def count(self, take: node_pb.TakeReport) -> None:
        """Count a recorded take. One without signals is not measured, rather than perfect."""
        if not take.HasField("signals"):
            return
        signals = take.signals
        known = {field.name: value for field, value in signals.ListFields()}
        known["over_saturation"] = signals.over_saturation  # no presence of its own
        for name, histogram in self._measured.items():
            if math.isfinite(value := known.get(name, math.nan)):
                histogram.observe(value)
        for name, counter in self._frames.items():
            counter.inc(getattr(signals, name))
        for mark in set(take.marks) & set(MARKS):
            self._marked.labels(mark).inc()
