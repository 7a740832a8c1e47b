"""How fast a farm is simulated, and how fast its plan is in large fleets.

    python bench/simulation.py [--cards 100,1000,10000] [--exchange-cards 10,62] [--hours 8]

The plan alone over a day with random deaths, for each number of cards, with the time of each look
at the yields; the real coordinator with every exchange over some hours; the memory of a million
open clips. Each part in a process of its own. Writes simulation.json and simulation.png.
"""

import argparse
import gc
import json
import os
import random
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from about import about
from simulation_picture import draw

from farm.domain.batch import Batch
from farm.domain.clip import Clip, Work
from farm.domain.fleet import CardFacts
from farm.domain.spec import ClipSpec, NewClip
from farm.plan.board import Board
from farm.plan.economics import HELIOS, seconds_per_frame
from farm.sim.faults import parse_faults
from farm.sim.fleet import CARD_TYPES, parse_cards
from farm.sim.ledger import simulated_ledger
from farm.sim.outcome import Submission
from farm.sim.plan_alone import PlanAlone
from farm.sim.simulation import Simulation

HERE = Path(__file__).resolve().parent
WORK = Work(384, 640, (2, 2, 2))
MODEL = HELIOS["distilled"]
CLIPS_PER_CARD = 50
HOURS_OF_WORK = 22.0
"""In the day that is simulated; the deaths take their part."""
DEATHS_PER_HOUR = 0.02
BATCHES = 10
PROJECTS = 4
PLAN_SECONDS_MAX = 120.0
EXCHANGE_SECONDS_MAX = 600.0
TICK_MS_MAX = 100.0
MILLION_BYTES_MAX = 1 << 30
PACKAGES = ("protobuf", "sortedcontainers", "sqlalchemy")

Figures = dict[str, Any]


def main() -> int:
    """Measure, write, say whether the promises hold."""
    options = _options()
    result: Figures = {"about": about("simulation.py", PACKAGES), "plan": [], "exchanges": []}
    for cards in options.cards:
        result["plan"].append(_apart(plan_alone, cards))
        print(f"plan alone, {cards} cards: {result['plan'][-1]}", flush=True)
    for cards in options.exchange_cards:
        result["exchanges"].append(_apart(exchanges, cards, options.hours))
        print(f"every exchange, {cards} cards: {result['exchanges'][-1]}", flush=True)
    result["million"] = _apart(million)
    print(f"a million open clips: {result['million']}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (options.out / "simulation.json").write_text(text + "\n")
    draw(result, options.out / "simulation.png")
    return _verdict(result)


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cards", type=numbers, default=[100, 1_000, 10_000])
    parser.add_argument("--exchange-cards", type=numbers, default=[10, 62])
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def _apart(measure: Any, *arguments: Any) -> Figures:
    """In a process of its own: one measure's memory is not the next one's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        figures: Figures = pool.submit(measure, *arguments).result()
    return figures


def new_clips(batch_id: str, count: int, chunks: float, dice: random.Random) -> list[Clip]:
    """Clips of 0.3 to 1.7 times so many chunks."""
    return [
        Clip(
            clip_id=f"{batch_id}-{i:07}",
            batch_id=batch_id,
            ordinal=i,
            frames=33 * max(1, round(chunks * dice.uniform(0.3, 1.7))),
            work=WORK,
        )
        for i in range(1, count + 1)
    ]


def plan_alone(count: int) -> Figures:
    """A day of `count` cards of three speeds, 50 clips for each, some of which come later."""
    dice, unit = random.Random(1), 33 * seconds_per_frame(WORK, MODEL)
    types = [CARD_TYPES[name] for name in ("rtx-4060-ti", "rtx-4060-ti", "rtx-4090")]
    cards = [
        CardFacts(
            card_id=f"card-{i:05}",
            card_type=types[i % 3].name,
            pace=types[i % 3].chunk_seconds(WORK, MODEL) / unit,
        )
        for i in range(count)
    ]
    speed, clips = sum(1 / card.pace for card in cards), CLIPS_PER_CARD * count
    chunks = HOURS_OF_WORK * 3600 * speed / unit / clips
    batches = []
    for n in range(BATCHES):
        batch_id = f"b{n}"
        batch = Batch(batch_id=batch_id, name=batch_id, project=f"p{n % PROJECTS}", created_at=0.0)
        new = new_clips(batch_id, clips // BATCHES, chunks, dice)
        batches.append((3600.0 * max(0, n - 6), batch, new))
    rate = DEATHS_PER_HOUR / 3600
    simulation = PlanAlone(cards, batches, cost=lambda _work: unit, deaths_per_second=rate)
    gc.freeze()  # as the coordinator does it
    cpu = time.process_time()
    tally = simulation.run()
    ticks = sorted(tally.tick_ms)
    return {
        "cards": count,
        "clips": clips,
        "virtual_hours": tally.finish / 3600,
        "done": tally.done,
        "failed": tally.failed,
        "deaths": tally.deaths,
        "yields": tally.yields,
        "busy_share": tally.busy / (count * tally.finish),
        "seconds": tally.wall_seconds,
        "cpu_seconds": time.process_time() - cpu,
        "tick_ms_median": ticks[len(ticks) // 2],
        "tick_ms_p99": ticks[int(0.99 * len(ticks))],
        "tick_ms_max": ticks[-1],
    }


def exchanges(count: int, hours: float) -> Figures:
    """The real coordinator and ledger, with every exchange of `count` RTX 4060 Ti."""
    fleet, dice = parse_cards(f"{count}xrtx-4060-ti"), random.Random(1)
    seconds = 7 * fleet.cards[0][1].chunk_seconds(WORK, MODEL)
    clips = [
        NewClip(
            ordinal=i,
            row=i + 1,
            name=f"clip {i}",
            spec=ClipSpec(
                prompt="p", frames=33 * dice.randint(4, 10), height=384, width=640, fps=24, seed=i,
                steps=WORK.steps,
            ),
        )
        for i in range(1, 1 + int(count * hours * 3600 / seconds))
    ]  # fmt: skip
    with simulated_ledger() as path:
        simulation = Simulation(
            fleet=fleet,
            submissions=[Submission(name="bench", clips=clips)],
            ledger=path,
            faults=parse_faults(f"card-death={DEATHS_PER_HOUR}/h"),
            keeps_spans=False,
        )
        cpu = time.process_time()
        outcome = simulation.run()
        cpu = time.process_time() - cpu
    return {
        "cards": count,
        "clips": len(clips),
        "virtual_hours": outcome.finish_seconds / 3600,
        "exchanges": outcome.record.counts["exchanges"],
        "commits": outcome.record.counts["commits"],
        "chunks": outcome.record.counts["chunks rendered"],
        "deaths": outcome.record.counts["death"],
        "utilisation": outcome.utilisation,
        "idle_share": outcome.idle_share,
        "seconds": outcome.wall_seconds,
        "cpu_seconds": cpu,
        "cpu_ms_per_exchange": 1e3 * cpu / outcome.record.counts["exchanges"],
        "problems": outcome.problems,
    }


def million() -> Figures:
    """What a million open clips take in the coordinator's memory."""
    before, began = _rss(), time.perf_counter()
    board = Board()
    board.put_batch(Batch(batch_id="b", name="b", project="p", created_at=0.0), clips=1_000_000)
    for clip in new_clips("b", 1_000_000, 10.0, random.Random(1)):
        board.put(clip)
    return {
        "clips": len(board),
        "bytes": _rss() - before,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "seconds": time.perf_counter() - began,
    }


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _verdict(result: Figures) -> int:
    plan, exchange = result["plan"][-1], result["exchanges"][-1]
    lines = {
        f"plan alone, {plan['cards']:,} cards and {plan['clips']:,} clips over a day: "
        f"{plan['seconds']:.0f} s (at most {PLAN_SECONDS_MAX:.0f})": (
            plan["seconds"] <= PLAN_SECONDS_MAX
        ),
        f"p99 of a look at the yields: {plan['tick_ms_p99']:.0f} ms (at most {TICK_MS_MAX:.0f})": (
            plan["tick_ms_p99"] <= TICK_MS_MAX
        ),
        f"every exchange of {exchange['cards']} cards over {exchange['virtual_hours']:.1f} h: "
        f"{exchange['seconds']:.0f} s (at most {EXCHANGE_SECONDS_MAX:.0f})": (
            exchange["seconds"] <= EXCHANGE_SECONDS_MAX and not exchange["problems"]
        ),
        f"a million open clips: {result['million']['bytes'] / 2**20:.0f} MiB (at most 1,024)": (
            result["million"]["bytes"] <= MILLION_BYTES_MAX
        ),
    }
    for line, holds in lines.items():
        print(f"{'holds' if holds else 'FAILS'}: {line}")
    return 0 if all(lines.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
