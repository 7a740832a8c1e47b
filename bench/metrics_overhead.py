"""What watching costs: the page of 2,000 cards, the coordinator's time, and a card's.

    python bench/metrics_overhead.py [--cards N] [--rounds N] [--out FILE]

A real gateway answers GET /metrics of a view in which every field is set. A real coordinator hears
each card once in 10 seconds, with and without what metrics need, by turns in the same run, and
then with a chunk in every exchange; it is scraped every 15 seconds. What it counts for usage and
waste, and tells to its log, is timed within that. A watch reads a simulated NVML, whose driver
takes no time of its own. Shares are of one second, by CPU time, which other
work on the machine does not lengthen.
"""

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from bench.about import about
from bench.exchange_cards import SimulatedCard
from farm.coordinator import Coordinator, rendered, usage
from farm.coordinator.alarms import alarms
from farm.coordinator.idling import Idling
from farm.coordinator.journal import Journal
from farm.coordinator.usage import UsageBook
from farm.domain.batch import Batch, Budget
from farm.domain.ledger import RequestRow
from farm.domain.spec import ClipSpec, NewClip
from farm.gateway.settings import Limits
from farm.store import open_store
from farm.store import store as ledger
from heliostat.logs.setup import configure
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.card_report import telemetry_report
from node_agent.engine import Engine
from node_agent.render.child import ChildOptions
from node_agent.telemetry import CardWatch, EnergyMeter, SystemNvml
from node_agent.telemetry.meter import SAMPLES_PER_SECOND
from node_agent.telemetry.watch import SECONDS_BETWEEN_SAMPLES
from node_agent.workbench import Counters
from tests.fixtures.full_fleet import as_sent, full_cards, full_view
from tests.fixtures.gateway import Rig, StoppedClock
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

EXCHANGE_SECONDS = 10.0
SCRAPE_SECONDS = 15.0
GROUP = 25
"""Exchanges in one call of the coordinator."""
BATCHES, PROJECTS, CLIPS, CHUNKS = 50, 10, 100, 30
"""Open batches, a fifth of them with a deadline and a fifth with a budget; clips of each."""
CHUNKS_OF = {f"bbbbbb{b:02}-{n:05}": CHUNKS for b in range(BATCHES) for n in range(1, CLIPS + 1)}
USAGE = (
    (rendered, "heard"), (rendered, "recorded"), (rendered, "given_back"), (usage, "stepped"),
    (usage, "delivered"), (usage, "waste_given_up"), (UsageBook, "of"), (UsageBook, "add"),
    (Idling, "look"), (ledger, "write_usage"),
)  # fmt: skip
LOG = ((Journal, "_tell"),)
LINES_PER_CLIP = 2
"""Its lease and its end."""
OUT = Path(__file__).parent / "results" / "metrics_overhead.json"
PACKAGES = ("prometheus-client", "protobuf", "sqlalchemy", "starlette", "uvicorn")

Figures = dict[str, Any]


def cpu_seconds(call: Callable[[], object], times: int) -> float:
    """Median CPU time of this thread for one call."""
    found = []
    for _ in range(times):
        began = time.thread_time()
        call()
        found.append(time.thread_time() - began)
    return statistics.median(found)


async def page(cards: int, rounds: int) -> Figures:
    """Seconds of GET /metrics, each of another view."""
    with tempfile.TemporaryDirectory() as folder:
        async with Rig(Path(folder)) as rig:
            rig.settings = replace(rig.settings, limits=Limits(fleet_seconds=0.0))
            await rig.restart_gateway()
            sent = as_sent(full_view(cards), full_cards(cards))

            async def fleet() -> tuple[bytes, list[bytes]]:
                return sent

            rig.link.fleet = fleet  # type: ignore[method-assign]
            wall, cpu, text = [], [], ""
            for _ in range(rounds):
                began, began_cpu = time.perf_counter(), time.process_time()
                _, text = await rig.get("/metrics")
                wall.append(time.perf_counter() - began)
                cpu.append(time.process_time() - began_cpu)
    of_card = sum('card="node-0-1"' in line for line in text.splitlines())
    return {
        "cards": cards,
        "seconds": statistics.median(wall),
        "seconds_max": max(wall),
        "cpu_seconds": statistics.median(cpu),
        "bytes": len(text),
        "lines": text.count("\n"),
        "series_per_card": of_card,
    }


def coordinator(cards: int, rounds: int) -> Figures:
    """Shares of the coordinator's time: of what metrics need, and of all else that it does."""
    with opened() as farm:
        told = [heartbeat(number, full=True) for number in range(cards)]
        bare = [heartbeat(number, full=False) for number in range(cards)]
        spread(farm, bare)
        with_all, without = [], []
        for _ in range(rounds):  # by turns
            without.append(spread(farm, bare))
            with_all.append(spread(farm, told))
        exchanges = statistics.median(
            (a - b) / EXCHANGE_SECONDS for a, b in zip(with_all, without, strict=True)
        )
    with opened() as farm:
        fleet = [SimulatedCard(number, CHUNKS_OF) for number in range(cards)]
        work = [render(farm, fleet) for _ in range(rounds + 2)][2:]  # without the first leases
        books, duties, now = farm.books, farm._duties, farm.clock.now()
        with timed(USAGE) as counting:
            for _ in range(rounds):
                render(farm, fleet)
                farm.tick()
        with timed(LOG) as telling:
            for _ in range(rounds):
                render(farm, fleet)
        clips = cards / (EXCHANGE_SECONDS * CHUNKS)
        more = {
            "usage": sum(counting) / rounds / EXCHANGE_SECONDS,
            "log": sum(telling) / rounds / EXCHANGE_SECONDS
            + clips * LINES_PER_CLIP * log_line_seconds(),
            "exchanges": exchanges,
            "queues": cpu_seconds(lambda: duties.queues.look(books.clips.entries(), now), 50),
            "scrapes": cpu_seconds(lambda: as_sent(*farm.fleet()), rounds) / SCRAPE_SECONDS,
        }
        views = cpu_seconds(
            lambda: (
                duties.queues.views(books.clips.entries(), now),
                alarms(books, duties.is_late),
                books.stats.view(books.store.free_bytes()),
            ),
            50,
        )
        whole = statistics.median(work) / EXCHANGE_SECONDS + cpu_seconds(farm.tick, rounds)
        chunks = farm.books.totals.chunks_recorded
    return {
        "cards": cards,
        "exchanges_per_second": cards / EXCHANGE_SECONDS,
        "open_batches": BATCHES,
        "chunks_recorded": chunks,
        "share_by_part": more,
        "share": sum(more.values()),
        "share_of_all_else": whole,
        "seconds_for_queues_alarms_stats": views,
    }


@contextmanager
def opened() -> Iterator[Coordinator]:
    """A coordinator with batches, on a durable ledger."""
    with tempfile.TemporaryDirectory() as folder:
        store, clock = open_store(Path(folder) / "farm.db"), StoppedClock()
        farm = Coordinator(store, clock)
        for number in range(BATCHES):
            submit(farm, clock, number)
        yield farm
        store.close()


@contextmanager
def timed(places: tuple[tuple[Any, str], ...]) -> Iterator[list[float]]:
    """The CPU seconds of each call to these, calls within calls not counted again."""
    found: list[float] = []
    depth = 0

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            nonlocal depth
            began, depth = time.thread_time(), depth + 1
            try:
                return call(*args, **named)
            finally:
                depth -= 1
                if not depth:
                    found.append(time.thread_time() - began)

        return run

    with ExitStack() as stack:
        for place, name in places:
            stack.enter_context(mock.patch.object(place, name, watched(getattr(place, name))))
        yield found


def log_line_seconds() -> float:
    """CPU seconds of a line of the coordinator's log, into a file."""
    logger = logging.getLogger("farm.coordinator.journal")
    ids = {"clip_id": "b-00001", "attempt": 1, "batch_id": "b", "card_id": "c"}
    with tempfile.TemporaryDirectory() as folder:
        configure("coordinator", file=Path(folder) / "log.jsonl")
        seconds = cpu_seconds(
            lambda: logger.info("%s: %s, %d of %d chunks", "lease", "leased", 0, 3, extra=ids), 500
        )
        logging.basicConfig(level=logging.WARNING, force=True)
    return seconds


def submit(farm: Coordinator, clock: StoppedClock, number: int) -> None:
    """A batch of many clips."""
    batch = Batch(
        batch_id=f"bbbbbb{number:02}",
        name=f"batch {number}",
        project=f"project{number % PROJECTS}",
        priority=number % 3,
        created_at=clock.now(),
        deadline=clock.now() + 86_400 if number % 5 == 0 else None,
        budget=Budget(hours=1000.0) if number % 5 == 1 else Budget(),
    )
    spec = ClipSpec(prompt="a mirror", frames=33 * CHUNKS, height=384, width=640, fps=24, seed=1)
    farm.begin(batch)
    farm.stage(
        batch.batch_id,
        [
            NewClip(ordinal=n, row=n + 1, name=f"c{n}", file_name=f"c{n}", spec=spec, columns={})
            for n in range(1, CLIPS + 1)
        ],
    )
    farm.publish(batch.batch_id, RequestRow(f"request {number}", "d", batch.batch_id))


def heartbeat(number: int, *, full: bool) -> bytes:
    """An exchange that tells nothing new, with all that metrics need or none of it."""
    [card] = full_cards(1)
    request = node_pb.ExchangeRequest(
        card=node_pb.CardReport(
            card_id=f"card-{number}",
            node_id=f"node-{number // 4}",
            incarnation="1" * 32,
            hostname=f"machine-{number // 4}",
            renderer="testcard",
            condition="ready",
            card_type="rtx-4060-ti",
            tags=["rack=a3"],
        ),
        telemetry=types_pb.CardTelemetry(frames_rendered=330),
    )
    if full:
        request.telemetry.CopyFrom(card.telemetry)
        request.telemetry.frames_rendered = 330
        request.sent_at.FromSeconds(1_700_001_000)
    return request.SerializeToString()


def spread(farm: Coordinator, requests: list[bytes]) -> float:
    """CPU seconds of an exchange of each card, as the coordinator's process takes it."""
    began = time.thread_time()
    for start in range(0, len(requests), GROUP):
        group = [
            node_pb.ExchangeRequest.FromString(data) for data in requests[start : start + GROUP]
        ]
        for response in farm.exchange(group):
            response.SerializeToString()
    return time.thread_time() - began


def render(farm: Coordinator, fleet: list[SimulatedCard]) -> float:
    """The same of cards that report a chunk each."""
    seconds = 0.0
    for start in range(0, len(fleet), GROUP):
        group = fleet[start : start + GROUP]
        for each in group:
            each.chunk_due = True
        requests = [each.request() for each in group]
        began = time.thread_time()
        messages = [node_pb.ExchangeRequest.FromString(data) for data in requests]
        answers = [response.SerializeToString() for response in farm.exchange(messages)]
        seconds += time.thread_time() - began
        for each, answer in zip(group, answers, strict=True):
            each.answered(answer)
    return seconds


def card(rounds: int) -> Figures:
    """Shares of a second of one thread of a card's machine."""
    watch = CardWatch("cuda:0", nvml=SystemNvml(SimulatedLibrary(SimulatedGpu())))
    gpu = SimulatedGpu(millijoules=None)
    meter = EnergyMeter(SystemNvml(SimulatedLibrary(gpu)), 0)
    meter.close()
    engine = Engine(ChildOptions(renderer="testcard"), lambda: None)
    with tempfile.TemporaryDirectory() as spool:
        look = cpu_seconds(watch.look, rounds * 20)
        read = cpu_seconds(meter.read, rounds * 20)
        report = cpu_seconds(
            lambda: telemetry_report(Counters(), engine, watch.latest(), Path(spool)), rounds * 20
        )
    more = {
        "readings": look / SECONDS_BETWEEN_SAMPLES,
        "power_samples": 2 * SAMPLES_PER_SECOND * read,  # the agent's, and its render child's
        "reports": report / EXCHANGE_SECONDS,
    }
    return {
        "seconds_of_a_look": look,
        "seconds_of_a_power_sample": read,
        "share_by_part": more,
        "share": sum(more.values()),
    }


def main() -> int:
    """Measure, write, say whether the promises hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cards", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found: Figures = {
        "about": about(Path(__file__).name, PACKAGES),
        "page": asyncio.run(page(options.cards, options.rounds)),
        "coordinator": coordinator(options.cards, options.rounds),
        "card": card(options.rounds),
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    holds = {
        "the page in less than 1 s": found["page"]["seconds"] < 1.0,
        "less than 2% of the coordinator's time": found["coordinator"]["share"] < 0.02,
        "less than 1% of a card's time": found["card"]["share"] < 0.01,
    }
    print("\n".join(f"{'holds' if held else 'BROKEN'}: {what}" for what, held in holds.items()))
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
