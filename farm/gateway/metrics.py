"""Metrics: one page for the whole fleet, and counters of what passes through this gateway.

Names, units and labels follow Prometheus's conventions; no label holds a clip, a batch or a
prompt. What is not known is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import farm
from farm.gateway.card_senses import sense_metrics
from farm.gateway.fleet_view import Fleet
from farm.gateway.quality import QualityMeters
from farm.gateway.verify import Found
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_CHUNK_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)
_ENCODE_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_CALL_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_GROUPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_TOTALS: Final = MappingProxyType(
    {
        "frames_rendered": ("frames_rendered", "Frames that cards rendered."),
        "frames_delivered": ("frames_delivered", "Frames of verified, committed takes."),
        "clips_delivered": ("clips_delivered", "Clips with a verified, committed take."),
        "attempts_lost": ("attempts_lost", "Attempts whose card died or fell silent."),
        "attempts_failed": ("attempts_failed", "Attempts that ended in a reported error."),
        "chunks_recorded": ("chunks_recorded", "Chunks verified and recorded as checkpoints."),
        "bytes_delivered": ("delivered_bytes", "Bytes of verified, committed takes."),
        "stale_reports": ("stale_reports", "Reports of attempts that no longer were the card's."),
    }
)
"""Field of `FarmTotals` → metric (without prefix and `_total`) and its help."""

_CARD_COUNTERS: Final = MappingProxyType(
    {
        "frames_rendered": ("frames_rendered", "Frames rendered by this start of the agent."),
        "chunks_rendered": ("chunks_rendered", "Chunks rendered by this start of the agent."),
        "render_seconds": ("render_seconds", "Seconds spent rendering."),
        "busy_seconds": (
            "render_busy_seconds",
            "Seconds in denoising passes and decodes, while clips were there to render.",
        ),
        "idle_seconds": (
            "render_idle_seconds",
            "Seconds in neither, while clips were there to render.",
        ),
        "bytes_uploaded": ("uploaded_bytes", "Bytes uploaded to the object store."),
        "upload_seconds": ("upload_seconds", "Seconds spent uploading."),
        "upload_retries": ("upload_retries", "Uploads that had to be tried again."),
        "child_restarts": ("child_restarts", "Starts of the render child after the first."),
    }
)
"""Field of `CardTelemetry` → metric (without prefix and `_total`) and its help."""


class Meters:
    """What passes through this gateway, counted where it passes."""

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


class FleetCollector(Collector):
    """The coordinator's view as metrics. It reads what `show` was given; a scrape asks nobody."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None

    def show(self, fleet: Fleet | None) -> None:
        """What the next scrapes tell; None while the coordinator does not answer."""
        self._fleet = fleet

    def describe(self) -> Iterable[Metric]:
        """Nothing: names depend on what is known."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Everything about the fleet that is known."""
        build = GaugeMetricFamily(
            "heliostat_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([farm.__version__], 1)
        yield build
        fleet = self._fleet
        yield _gauge("coordinator_up", "1 when the coordinator answers.", float(bool(fleet)))
        if fleet is not None:
            yield from _farm(fleet)
            yield from _counts(fleet)
            yield from _cards(fleet.cards)


def page(registry: CollectorRegistry) -> bytes:
    """The metrics in Prometheus's text format."""
    return generate_latest(registry)


def _farm(fleet: Fleet) -> Iterator[Metric]:
    view = fleet.view
    for field, (name, text) in _TOTALS.items():
        yield CounterMetricFamily(
            f"heliostat_{name}", f"{text} Of the farm's whole life.", getattr(view.totals, field)
        )
    yield _gauge(
        "waste_frames",
        "Rendered frames that are in no delivered take: lost, rendered again, trimmed, or of "
        "clips still under way.",
        max(0, view.totals.frames_rendered - view.totals.frames_delivered),
    )
    yield _gauge(
        "rendered_frames_per_second",
        "Rendered by the whole fleet, over the last minute.",
        view.rendered_frames_per_second,
    )
    yield _gauge(
        "delivered_frames_per_second",
        "Delivered by the whole fleet, over the last minute.",
        view.delivered_frames_per_second,
    )
    equivalents = GaugeMetricFamily(
        "heliostat_h100_equivalents",
        "Rendered frames per second over the baseline of the same work; estimated where the "
        "baseline had to be scaled by arithmetic.",
        labels=["basis"],
    )
    equivalents.add_metric([fleet.basis.value], view.h100_equivalents)
    yield equivalents
    yield _baseline(view.baseline)
    yield _gauge("coordinator_epoch", "The coordinator's epoch; grows with each start.", view.epoch)
    yield _gauge("batches_open", "Batches with clips that have not ended.", view.batches_open)


def _baseline(baseline: fleet_pb.Baseline) -> Metric:
    metric = GaugeMetricFamily(
        "heliostat_baseline_frames_per_second",
        "What the fleet is compared with, at these steps and this size.",
        labels=["name", "steps", "size", "basis"],
    )
    steps = ",".join(map(str, baseline.steps))
    size = f"{baseline.width}x{baseline.height}"
    metric.add_metric([baseline.name, steps, size, baseline.basis], baseline.frames_per_second)
    return metric


def _counts(fleet: Fleet) -> Iterator[Metric]:
    clips = GaugeMetricFamily("heliostat_clips", "Clips by state.", labels=["state"])
    for field in types_pb.ClipCounts.DESCRIPTOR.fields:
        clips.add_metric([field.name], getattr(fleet.view.clips, field.name))
    yield clips
    cards = GaugeMetricFamily("heliostat_cards", "Cards by state.", labels=["state"])
    cards.add_metric(["online"], fleet.view.cards_online)
    cards.add_metric(["offline"], fleet.view.cards - fleet.view.cards_online)
    yield cards
    wanted = GaugeMetricFamily(
        "heliostat_cards_wanted",
        "Cards that waiting clips could use now, beside those that work.",
        labels=["card_type"],
    )
    for card_type, count in sorted(fleet.view.cards_wanted.items()):
        wanted.add_metric([card_type], count)
    yield wanted


def _cards(cards: list[types_pb.Card]) -> Iterator[Metric]:
    """Fewer than 40 series for each card."""
    info = GaugeMetricFamily(
        "heliostat_card_info",
        "What a card is.",
        labels=["card", "node", "hostname", "slot", "device", "renderer", "uuid"],
    )
    gauges = {
        name: GaugeMetricFamily(f"heliostat_card_{name}", text, labels=["card"])
        for name, text in {
            "online": "1 when the card was heard of within its lease.",
            "ready": "1 when the card takes clips.",
            "silence_seconds": "Time since the last exchange.",
            "frames_per_second": "Rendered over the last minute.",
            "clips_held": "Clips that the card holds a lease of.",
            "memory_bytes": "GPU memory of the card.",
            "spool_bytes": "Bytes that wait on the node's disk.",
        }.items()
    }
    counters = {
        field: CounterMetricFamily(f"heliostat_card_{name}", text, labels=["card"])
        for field, (name, text) in _CARD_COUNTERS.items()
    }
    for card in cards:
        labels = [card.card_id]
        place = [card.node_id, card.hostname, str(card.slot)]
        info.add_metric(
            [card.card_id, *place, card.device, card.renderer, card.telemetry.gpu_uuid], 1
        )
        for name, value in _card_gauges(card).items():
            gauges[name].add_metric(labels, value)
        # A card that this coordinator has not heard of has no counters, rather than zeros.
        if card.online or card.telemetry.ByteSize():
            for field, counter in counters.items():
                counter.add_metric(labels, getattr(card.telemetry, field))
    yield info
    yield from gauges.values()
    yield from counters.values()
    yield from sense_metrics(cards)


def _card_gauges(card: types_pb.Card) -> dict[str, float]:
    known: dict[str, float] = {"online": float(card.online), "clips_held": len(card.clip_ids)}
    if card.vram_bytes:
        known["memory_bytes"] = card.vram_bytes
    if card.online or card.telemetry.ByteSize():
        known["silence_seconds"] = card.seen_seconds_ago
        known["spool_bytes"] = card.telemetry.spool_bytes
    if card.online:
        known["frames_per_second"] = card.frames_per_second
        known["ready"] = float(card.condition in ("", "ready"))
    return known


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"heliostat_{name}", text, value)
