"""*Storage*: what goes into the object store, how it fares there, and what is let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from . import board as boards
from .board import Panel
from .panels import Query, lines, number
from .promql import (
    card,
    card_rate,
    fleet,
    fleet_increase,
    gateways_increase,
    gateways_rate,
    quantile,
)

NAME: Final = "storage"


def board() -> Dashboard:
    """The dashboard."""
    about = "Uploads, verification, retention, errors and disks."
    return boards.filled(
        boards.new(NAME, "Storage", about),
        {
            "Now": _now(),
            "Bytes": _bytes(),
            "Verification": _verification(),
            "Retention and deliveries": _retention(),
        },
    )


def _now() -> Sequence[Panel]:
    unavailable = "sum(increase(heliostat_storage_errors_total[$__range])) or vector(0)"
    free = f"min({card('spool_free_bytes')})"
    retries = "max by (card) (increase(heliostat_card_upload_retries_total[$__range]))"
    return [
        number("Delivered", "Bytes of takes in the time shown.",
               Query(fleet_increase("delivered_bytes_total")), unit="bytes"),
        number("Errors", "Calls to the object store that failed, in the time shown.",
               Query(unavailable), worst=1, decimals=0),
        number("Corrupt", "Objects whose content was not what was promised, in the time shown.",
               Query("sum(increase(heliostat_storage_corruptions_total[$__range]))"),
               worst=1, decimals=0),
        number("Retries", "Uploads that cards had to try again, in the time shown.",
               Query(f"sum({retries})"),
               decimals=0),
        number("Free for the ledger",
               "Where the ledger lies; empty where that is another machine's database.",
               Query(fleet("store_free_bytes")), unit="bytes"),
        number("Least free for a spool", "Of all nodes.", Query(free), unit="bytes"),
    ]  # fmt: skip


def _bytes() -> Sequence[Panel]:
    seconds = f"sum({card_rate('upload_seconds_total')})"
    uploaded = f"sum({card_rate('uploaded_bytes_total')})"
    return [
        lines("Recorded", "Bytes a second of verified objects, by kind.",
              Query(gateways_rate("recorded_bytes_total", "kind"), "{{kind}}"),
              unit="Bps", span=8, stacked=True),
        lines("Uploaded by cards", "Bytes a second.", Query(uploaded, "uploaded"),
              unit="Bps", span=8),
        lines("Speed of an upload", "Bytes over the seconds that they took.",
              Query(f"{uploaded} / {seconds}", "speed"), unit="Bps", span=8),
        lines("Spool", "What waits on nodes' disks.", Query(f"sum({card('spool_bytes')})", "all"),
              Query(f"max({card('spool_bytes')})", "fullest"), unit="bytes", span=8),
        lines("Uploads granted", "Presigned URLs a second, by kind.",
              Query(gateways_rate("grants_total", "kind"), "{{kind}}"), span=8),
        lines("Uploads tried again", "A second.",
              Query(f"sum({card_rate('upload_retries_total')})", "retries"), span=8),
    ]  # fmt: skip


def _verification() -> Sequence[Panel]:
    errors = f"{gateways_increase('storage_errors_total', 'operation')} or vector(0)"
    return [
        lines("Verifications", "A second, by outcome.",
              Query(gateways_rate("verifications_total", "outcome"), "{{outcome}}"), span=8),
        lines("Seconds to verify an object", "Of the last hour.",
              Query(quantile(0.5, "verify_seconds"), "median"),
              Query(quantile(0.99, "verify_seconds"), "99%"), unit="s", span=8),
        lines("Errors", "In the time shown: of the object store, by what was asked of it.",
              Query(errors, "{{operation}}"), span=8),
    ]  # fmt: skip


def _retention() -> Sequence[Panel]:
    deleted = f"{gateways_rate('retention_deleted_bytes_total', 'why')} or vector(0)"
    return [
        lines("Deleted", "Bytes a second, by why: let go, or left by lost attempts.",
              Query(deleted, "{{why}}"), unit="Bps", span=8),
        lines("Let go", "In the time shown.",
              Query(gateways_increase("retention_clips_released_total"), "clips' chunks"),
              Query(gateways_increase("retention_events_deleted_total"), "events"), span=8),
        lines("Delivered to folders", "In the time shown.",
              Query(gateways_increase("delivery_takes_total"), "takes"),
              Query(gateways_increase("delivery_failures_total"), "to be tried again"), span=8),
    ]  # fmt: skip
