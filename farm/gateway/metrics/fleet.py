"""The fleet as a whole: totals of its life, its rates, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics.text import Family, counter, gauge, ratio
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb

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


def families(fleet: Fleet) -> Iterator[Family]:
    """Totals come from the ledger: they go on over every restart."""
    view = fleet.view
    for field, (name, text) in _TOTALS.items():
        total = getattr(view.totals, field)
        yield counter(f"{name}_total", f"{text} Of the farm's whole life.", total)
    yield gauge(
        "waste_frames",
        "Rendered frames that are in no delivered take: lost, rendered again, trimmed, or of "
        "clips still under way.",
        max(0, view.totals.frames_rendered - view.totals.frames_delivered),
    )
    yield from _rates(view)
    equivalents = gauge(
        "h100_equivalents",
        "Rendered frames per second over the baseline of the same work; estimated where the "
        "baseline had to be scaled by arithmetic.",
    )
    equivalents.add(view.h100_equivalents, basis=fleet.basis.value)
    yield equivalents
    yield _baseline(view.baseline)
    yield from _counts(view)


def _rates(view: fleet_pb.GetFleetResponse) -> Iterator[Family]:
    yield gauge(
        "rendered_frames_per_second",
        "Rendered by the whole fleet, over the last minute.",
        view.rendered_frames_per_second,
    )
    yield gauge(
        "delivered_frames_per_second",
        "Delivered by the whole fleet, over the last minute.",
        view.delivered_frames_per_second,
    )
    yield gauge(
        "calibrated_frames_per_second",
        "What the cards that render now should render, by their measured paces.",
        view.calibrated_frames_per_second,
    )
    yield gauge(
        "calibrated_ratio",
        "Rendered over calibrated frames per second.",
        ratio(view.rendered_frames_per_second, view.calibrated_frames_per_second),
    )
    yield gauge("cards_earning", "Cards that render now.", view.cards_earning)
    yield gauge(
        "utilization_ratio",
        "Cards that render now, of those online.",
        ratio(view.cards_earning, view.cards_online),
    )


def _baseline(baseline: fleet_pb.Baseline) -> Family:
    family = gauge(
        "baseline_frames_per_second",
        "What the fleet is compared with, at these steps and this size.",
    )
    family.add(
        baseline.frames_per_second,
        name=baseline.name,
        steps=",".join(map(str, baseline.steps)),
        size=f"{baseline.width}x{baseline.height}",
        basis=baseline.basis,
    )
    return family


def _counts(view: fleet_pb.GetFleetResponse) -> Iterator[Family]:
    yield gauge("batches_open", "Batches with clips that have not ended.", view.batches_open)
    clips = gauge("clips", "Clips by state.")
    for field in types_pb.ClipCounts.DESCRIPTOR.fields:
        clips.add(getattr(view.clips, field.name), state=field.name)
    yield clips
    cards = gauge("cards", "Cards by state.")
    cards.add(view.cards_online, state="online")
    cards.add(view.cards - view.cards_online, state="offline")
    yield cards
    wanted = gauge(
        "cards_wanted", "Cards that waiting clips could use now, beside those that work."
    )
    for card_type, count in sorted(view.cards_wanted.items()):
        wanted.add(count, card_type=card_type)
    yield wanted
    yield from _rollouts(view)


def _rollouts(view: fleet_pb.GetFleetResponse) -> Iterator[Family]:
    cards = gauge("rollout_cards", "Cards of the rollout that cards go by, by step.")
    stopped = gauge(
        "rollout_stopped", "1 when a card of the rollout has failed, and no other is changed."
    )
    since = gauge("rollout_changed_time_seconds", "When it came into its state, Unix time.")
    for rollout in view.rollouts:
        kind = fleet_pb.RolloutKind.Name(rollout.kind).removeprefix("ROLLOUT_KIND_").lower()
        for step, count in sorted(rollout.cards_by_step.items()):
            cards.add(count, kind=kind, step=step)
        halted = rollout.state in (fleet_pb.ROLLOUT_STATE_ROLLING, fleet_pb.ROLLOUT_STATE_DONE)
        stopped.add(halted and bool(rollout.reason), kind=kind)
        state = fleet_pb.RolloutState.Name(rollout.state).removeprefix("ROLLOUT_STATE_").lower()
        since.add(rollout.changed_at.seconds, kind=kind, state=state)
    yield from (cards, stopped, since)
