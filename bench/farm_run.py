"""Batches through a real farm, timed by the events that its ledger holds."""

import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
from processes import cpu_seconds, difference
from prometheus_client.parser import text_string_to_metric_families
from stores import BUCKET, RunningStore, free_base_port

from farm.client import Farm, Planned
from farm.domain.clip import ClipState
from farm.fleet_ray.head import down, up
from farm.fleet_ray.ledger import url_of
from farm.fleet_ray.processes import marked
from farm.fleet_ray.settings import PORTS, HeadSettings, Secrets, ensure_secrets, s3_settings
from farm.store import open_ledger

READY_SECONDS = 120.0
BATCH_SECONDS = 900.0
POLL_SECONDS = 0.25
EVENTS = 2_000

Rows = list[Mapping[str, str]]


@dataclass(frozen=True)
class RunningFarm:
    """A farm whose cards are ready."""

    settings: HeadSettings
    store: RunningStore
    client: Farm

    def processes(self) -> list[psutil.Process]:
        """All of the farm's, and the object store's."""
        own = {process.pid: process for process in marked(self.settings.marker)}
        own.update((process.pid, process) for process in self.store.processes)
        return list(own.values())

    def meters(self) -> dict[str, float]:
        """The sums and counts on the metrics page, over all labels."""
        url = f"http://127.0.0.1:{self.settings.port_of('http')}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.endswith(("_sum", "_count", "_total")):
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums


@contextmanager
def running_farm(
    cards: int, store: RunningStore | None, *, seconds_per_chunk: float = 0.0
) -> Iterator[RunningFarm]:
    """A farm with test cards; without a `store` it embeds its own."""
    with tempfile.TemporaryDirectory(prefix="heliostat-bench-") as directory:
        settings = HeadSettings(
            data_dir=Path(directory),
            port=free_base_port(len(PORTS)),
            cpu_cards=cards,
            renderer="testcard",
            seconds_per_chunk=seconds_per_chunk,
            s3_endpoint=store.settings.endpoint if store else "",
            s3_bucket=BUCKET,
        )
        given = store.settings if store else None
        keys = ensure_secrets(
            settings,
            s3_access_key=given.access_key if given else "",
            s3_secret_key=given.secret_key if given else "",
        )
        try:
            up(settings)
            embedded = RunningStore(s3_settings(settings, Secrets.load(settings)), ())
            with Farm(f"127.0.0.1:{settings.port_of('grpc')}", keys.api_token) as client:
                farm = RunningFarm(settings, store or embedded, client)
                wait_for_cards(farm, cards)
                yield farm
        finally:
            down(settings)


def wait_for_cards(farm: RunningFarm, cards: int) -> None:
    """Wait until so many are ready. Raises TimeoutError."""
    deadline = time.monotonic() + READY_SECONDS
    while sum(card.condition == "ready" for card in farm.client.cards()) < cards:
        if time.monotonic() > deadline:
            raise TimeoutError("the cards are not ready")
        time.sleep(POLL_SECONDS)


def timed_batch(farm: RunningFarm, rows: Rows, name: str) -> dict[str, object]:
    """Submit `rows`, wait for the last commit, and say what it took, per clip where it can be."""
    cpu, meters = cpu_seconds(farm.processes()), farm.meters()
    client = psutil.Process().cpu_times()
    started = time.time()
    submitted = farm.client.submit(rows, name=name, planned=Planned(fresh=True))
    acknowledged = time.time()
    assert submitted.batch is not None
    batch_id = submitted.batch.batch_id
    deadline = time.monotonic() + BATCH_SECONDS
    while (counts := farm.client.get(batch_id).clips).done < len(rows):
        if counts.failed or time.monotonic() > deadline:
            raise RuntimeError(f"the batch did not end well: {counts}")
        time.sleep(POLL_SECONDS)
    client_after = psutil.Process().cpu_times()
    spent = difference(cpu_seconds(farm.processes()), cpu)
    spent["client"] = sum(client_after[:2]) - sum(client[:2])
    after = farm.meters()
    moved = {name: value - meters.get(name, 0.0) for name, value in after.items()}
    ended, phases, shapes = _history(farm, batch_id)
    n = len(rows)
    return {
        "clips": n,
        "submit_seconds": acknowledged - started,
        "seconds_from_acknowledgement": ended - acknowledged,
        "seconds_from_submit": ended - started,
        "clips_per_second": n / (ended - acknowledged),
        "clips_per_second_from_submit": n / (ended - started),
        "cpu_ms_per_clip": {kind: 1e3 * value / n for kind, value in sorted(spent.items())},
        "wall_ms_per_clip": {**phases, **_gateway_phases(moved)},
        "attempts_lost": moved["heliostat_attempts_lost_total"],
        "exchanges_per_clip": moved["heliostat_exchanges_total"] / n,
        "exchanges_per_commit": _mean(moved, "heliostat_exchange_group_size"),
        "objects": shapes,
    }


def _history(
    farm: RunningFarm, batch_id: str
) -> tuple[float, dict[str, float], dict[str, dict[str, float]]]:
    """When the last take was committed, mean milliseconds of phases, the objects' sizes."""
    ledger = open_ledger(url_of(farm.settings))
    try:
        times: dict[str, dict[str, float]] = {}
        after = 0
        while events := ledger.events(after=after, limit=EVENTS, batch_id=batch_id):
            after = events[-1].sequence
            for event in events:
                if event.clip_id:
                    times.setdefault(event.clip_id, {})[event.kind] = event.at
        done = ledger.clips(batch_id, limit=len(times) + 1, states=[ClipState.DONE])
        takes = [row.take for row in done if row.take is not None]
        chunks = [chunk for row in done[:200] for chunk in ledger.chunks(row.clip.clip_id)]
    finally:
        ledger.close()
    assert len(takes) == len(times), "a clip has no take"
    steps = ("lease", "chunk", "done")
    phases = {
        f"{a} → {b}": 1e3 * statistics.fmean(t[b] - t[a] for t in times.values())
        for a, b in pairwise(steps)
    }
    phases["render"] = 1e3 * statistics.fmean(chunk.render_seconds for chunk in chunks)
    phases["encode"] = 1e3 * statistics.fmean(chunk.encode_seconds for chunk in chunks)
    objects = [stored for chunk in chunks for stored in chunk.objects]
    objects += [stored for take in takes for stored in (take.video, take.sidecar)]
    shapes = {
        kind: {
            "per_clip": 1.0,
            "bytes": statistics.fmean(o.size_bytes for o in objects if o.kind == kind),
        }
        for kind in sorted({stored.kind for stored in objects})
    }
    return max(t["done"] for t in times.values()), phases, shapes


def _gateway_phases(moved: dict[str, float]) -> dict[str, float]:
    """Mean milliseconds of one upload, verification and exchange, as the farm's meters have it."""
    uploads = moved["heliostat_verifications_total"]
    return {
        "one upload": 1e3 * moved["heliostat_card_upload_seconds_total"] / max(1.0, uploads),
        "one verification": 1e3 * _mean(moved, "heliostat_verify_seconds"),
        "one exchange": 1e3 * _mean(moved, "heliostat_exchange_seconds"),
    }


def _mean(moved: dict[str, float], name: str) -> float:
    return moved[f"{name}_sum"] / max(1.0, moved[f"{name}_count"])
