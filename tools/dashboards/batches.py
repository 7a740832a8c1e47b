"""*Batches*: what waits, what is late, what goes wrong, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import board as boards
from .board import Panel
from .panels import FPS, Query, lines, number
from .promql import (
    fleet,
    fleet_increase,
    fleet_rate,
    gateways_increase,
    gateways_rate,
    mean,
    quantile,
)

NAME: Final = "batches"

_PROJECT: Final = 'project=~"$project"'
_QUEUE: Final = ("project", "priority")
_QUEUE_LEGEND: Final = "{{project}}, priority {{priority}}"
_LATE_SECONDS: Final = 6 * 3600


def board() -> Dashboard:
    """The dashboard."""
    about = "The queue by project and priority, deadlines, budgets, failures, waste, quality."
    dashboard = boards.new(NAME, "Batches", about)
    dashboard.with_variable(boards.choice("project", "Project", "heliostat_deadlines_at_risk"))
    return boards.filled(
        dashboard,
        {
            "Now": _now(),
            "Queue": _queue(),
            "Clips": _clips(),
            "Failures and waste": _failures(),
            "Quality": _quality(),
            "Coordinator": _coordinator(),
        },
    )


def _alarm(title: str, about: str, name: str) -> Panel:
    value = f"sum({fleet(name, 'project', where=_PROJECT)})"
    return number(title, about, Query(value), worst=1)


def _now() -> Sequence[Panel]:
    oldest = f"max({fleet('queue_age_seconds', where=_PROJECT)} or vector(0))"
    return [
        number("Open batches", "With clips that have not ended.", Query(fleet("batches_open"))),
        number("Oldest in the queue", "Since it could have begun.", Query(oldest), unit="s",
               worst=_LATE_SECONDS),
        _alarm("Deadlines at risk", "Open batches that cannot keep theirs, on the cards there are.",
               "deadlines_at_risk"),
        _alarm("Budgets nearly used", "Open batches beyond nine tenths of a budget.",
               "budgets_near"),
        _alarm("Budgets reached", "Batches that are paused for it.", "budgets_reached"),
        _alarm("Failing batches", "Paused because too many of their clips failed.",
               "batches_failing"),
    ]  # fmt: skip


def _queue() -> Sequence[Panel]:
    return [
        lines("Clips that wait", "For a card, though one could render them.",
              Query(fleet("queue_clips", *_QUEUE, where=_PROJECT), _QUEUE_LEGEND),
              span=8, stacked=True),
        lines("Chunks that wait", "33 frames each.",
              Query(fleet("queue_chunks", *_QUEUE, where=_PROJECT), _QUEUE_LEGEND),
              span=8, stacked=True),
        lines("Age of the queue", "Of its oldest batch.",
              Query(fleet("queue_age_seconds", *_QUEUE, where=_PROJECT), _QUEUE_LEGEND),
              unit="s", span=8),
    ]  # fmt: skip


def _clips() -> Sequence[Panel]:
    return [
        lines("Clips by state", "Of the ledger.", Query(fleet("clips", "state"), "{{state}}"),
              span=8, stacked=True),
        lines("Clips delivered", "A minute.",
              Query(f"60 * {fleet_rate('clips_delivered_total')}", "clips a minute"), span=8),
        lines("Seconds to render a chunk", "Measured, of the last hour, over all cards.",
              Query(quantile(0.5, "chunk_render_seconds"), "median"),
              Query(quantile(0.95, "chunk_render_seconds"), "95%"), unit="s", span=8),
        lines("Submissions", "In the time shown, by what became of them.",
              Query(gateways_increase("submissions_total", "outcome"), "{{outcome}}")),
        lines("Notices sent", "In the time shown, by way and outcome.",
              Query(f"{gateways_increase('notices_total', 'way', 'outcome')} or vector(0)",
                    "{{way}} {{outcome}}")),
    ]  # fmt: skip


def _failures() -> Sequence[Panel]:
    return [
        lines("Attempts that ended badly", "A minute.",
              Query(f"60 * {fleet_rate('attempts_lost_total')}", "lost: the card died"),
              Query(f"60 * {fleet_rate('attempts_failed_total')}", "failed: reported an error"),
              span=8),
        lines("Frames in vain", "Measured: rendered, and in no delivered take.",
              Query(fleet_rate("waste_frames_total"), "wasted"), unit=FPS, span=8),
        lines("Share in vain", "Measured, of the last hour.",
              Query("heliostat:frames_wasted:ratio1h", "wasted / rendered"),
              unit="percentunit", span=8),
    ]  # fmt: skip


def _quality() -> Sequence[Panel]:
    about = "Measured of every take, in the last hour: median and 95%."
    signals = (
        ("Seam flicker", "take_seam_flicker_ratio", "1 is no seam. "),
        ("Over-saturation", "take_over_saturation_ratio", "Share of pixels. "),
        ("Drift", "take_drift_ratio", "End against beginning. "),
    )
    return [
        lines("Takes marked", "In the time shown, beyond a signal's threshold.",
              Query(gateways_increase("takes_marked_total", "signal"), "{{signal}}")),
        lines("Black and frozen frames", "A minute.",
              Query(f"60 * {gateways_rate('take_black_frames_total')}", "black"),
              Query(f"60 * {gateways_rate('take_frozen_frames_total')}", "frozen")),
        *(
            lines(title, f"{what}{about}", Query(quantile(0.5, name), "median"),
                  Query(quantile(0.95, name), "95%"), span=8)
            for title, name, what in signals
        ),
    ]  # fmt: skip


def _coordinator() -> Sequence[Panel]:
    leases = (("granted", "leases_granted_total"), ("expired", "leases_expired_total"),
              ("yields asked", "yields_asked_total"))  # fmt: skip
    return [
        lines("Seconds for a plan", "One tick of the coordinator.",
              Query(mean("plan_tick_seconds_sum", "plan_tick_seconds_count"), "tick"),
              unit="s", span=8),
        lines("Seconds for a commit", "One transaction of the ledger.",
              Query(mean("commit_seconds_sum", "commit_seconds_count"), "commit"),
              unit="s", span=8),
        lines("Leases", "A minute.",
              *(Query(f"60 * {fleet_rate(name)}", title) for title, name in leases), span=8),
        lines("Exchanges", "A second, by outcome, over all gateways.",
              Query(gateways_rate("exchanges_total", "outcome"), "{{outcome}}"), span=8),
        lines("Stale reports", "In the time shown: of attempts that no longer were the card's.",
              Query(fleet_increase("stale_reports_total"), "stale"), span=8),
        lines("Coordinator up for", "Starts anew with each start.",
              Query(f"time() - {fleet('coordinator_start_time_seconds')}", "up"),
              unit="s", span=8),
    ]  # fmt: skip
