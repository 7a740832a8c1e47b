"""What passes through this gateway, counted where it passes: each start counts from 0."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from farm.gateway.metrics.quality import QualityMeters
from farm.gateway.verify import Found

_CHUNK_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)
_ENCODE_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_CALL_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_GROUPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """All of them but those of its background duties, which have their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        p = "heliostat_"
        self.exchanges = Counter(
            f"{p}exchanges", "Exchanges with cards.", ["outcome"], registry=registry
        )
        self.exchange_seconds = Histogram(
            f"{p}exchange_seconds", "Duration of exchanges.", buckets=_CALL_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.group_size = Histogram(
            f"{p}exchange_group_size", "Exchanges that went to the coordinator in one call.",
            buckets=_GROUPS, registry=registry,
        )  # fmt: skip
        self.verify_seconds = Histogram(
            f"{p}verify_seconds", "Time to verify one object in the store.",
            buckets=_CALL_SECONDS, registry=registry,
        )  # fmt: skip
        self.verifications = Counter(
            f"{p}verifications", "Objects verified in the store.", ["outcome"], registry=registry
        )
        self.grants = Counter(
            f"{p}grants", "Presigned uploads handed out.", ["kind"], registry=registry
        )
        self.chunk_render_seconds = Histogram(
            f"{p}chunk_render_seconds", "Time to render one chunk of 33 frames.",
            buckets=_CHUNK_SECONDS, registry=registry,
        )  # fmt: skip
        self.chunk_encode_seconds = Histogram(
            f"{p}chunk_encode_seconds", "Time to encode one chunk.",
            buckets=_ENCODE_SECONDS, registry=registry,
        )  # fmt: skip
        self.recorded_bytes = Counter(
            f"{p}recorded_bytes", "Bytes of objects that were verified and recorded.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self.quality = QualityMeters(registry)
        self.submissions = Counter(
            f"{p}submissions", "Submissions of batches.", ["outcome"], registry=registry
        )
        self.watchers = Gauge(f"{p}watchers", "Open streams of events.", registry=registry)

    def verified(self, found: Found, seconds: float) -> None:
        """An object was verified, or could not be."""
        self.verifications.labels(found.value).inc()
        self.verify_seconds.observe(seconds)
