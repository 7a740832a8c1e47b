"""How near the farm comes to the best that any plan could do, over the real coordinator.

    python bench/scheduling.py [--seeds 20] [--clips-per-card 20] [--out DIR]

Seeded fleets of cards of speed 1, 2 and 5 on a virtual clock, with every exchange (farm/sim):
batches of uneven clips against their lower bound, cards that idle meanwhile, shares of projects
over an hour, batches with deadlines that come late. Writes scheduling.json and scheduling.png.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from about import about
from scheduling_picture import draw

from farm.sim.bounds import CHUNK_SECONDS, Late, Mix, Shares, run_late, run_mix, run_shares

HERE = Path(__file__).resolve().parent
RATIO_MAX = 1.05
IDLE_MAX = 0.02
OFF_MAX = 0.02
WEIGHTS = ({"a": 2.0, "b": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 2.0, "c": 5.0})
PACKAGES = ("protobuf", "sortedcontainers", "sqlalchemy")

Figures = dict[str, Any]


def main() -> int:
    """Measure, write, say whether the promises hold."""
    options = _options()
    began, cpu = time.perf_counter(), time.process_time()
    result: Figures = {"about": about("scheduling.py", PACKAGES)}
    mixes, shares, late = _mixes(options), _shares(), _late(options)
    result |= {
        "chunk_seconds_at_speed_1": CHUNK_SECONDS,
        "mixes": [asdict(mix) | {"ratio": mix.ratio} for mix in mixes],
        "shares": [asdict(each) | {"off": each.off} for each in shares],
        "late": [asdict(each) | {"holds": each.holds} for each in late],
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (options.out / "scheduling.json").write_text(text + "\n")
    draw(result, options.out / "scheduling.png")
    print(f"\n{result['seconds']:.0f} s, {result['cpu_seconds']:.0f} s of CPU time")
    return _verdict(mixes, shares, late)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--clips-per-card", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def _mixes(options: argparse.Namespace) -> list[Mix]:
    """Batches over mixed fleets, one for each seed."""
    print("\nseed  cards            clips  lower bound  finish  ratio   idle  rendering")
    found = []
    for seed in range(options.seeds):
        mix = run_mix(seed, options.clips_per_card)
        print(
            f"{seed:4}  {_fleet(mix.speeds):15}  {mix.clips:5}  {mix.bound_seconds:9.0f} s"
            f"  {mix.finish_seconds:4.0f} s  {mix.ratio:.3f}  {mix.idle_share:5.2%}"
            f"  {mix.utilisation:8.1%}",
            flush=True,
        )
        found.append(mix)
    return found


def _shares() -> list[Shares]:
    """Projects of unequal weight over an hour."""
    print("\nweights    parts of an hour's chunks   off by   idle")
    found = []
    for seed, weights in enumerate(WEIGHTS):
        shares = run_shares(weights, seed)
        parts = ", ".join(f"{shares.had[name]:.2%}" for name in weights)
        names = ":".join(f"{weight:g}" for weight in weights.values())
        print(f"{names:9}  {parts:26}  {shares.off:6.2%}  {shares.idle_share:5.2%}", flush=True)
        found.append(shares)
    return found


def _late(options: argparse.Namespace) -> list[Late]:
    """Batches with deadlines that come late, two for each seed."""
    print("\nseed  cards            clips         lower bound   alone  deadline    done  to spare")
    found = []
    for seed in range(options.seeds):
        for late in run_late(seed):
            done, spare = "not in time", ""
            if late.finish_seconds is not None:
                done = f"{late.finish_seconds:4.0f} s"
                spare = f"{late.deadline_seconds - late.finish_seconds:6.0f} s"
            print(
                f"{seed:4}  {_fleet(late.speeds):15}  {late.clips:5}  {late.kind}"
                f"  {late.bound_seconds:9.0f} s  {late.alone_seconds:4.0f} s"
                f"  {late.deadline_seconds:6.0f} s  {done}  {spare}",
                flush=True,
            )
            found.append(late)
    return found


def _fleet(speeds: Any) -> str:
    """3 x 1, 2 x 5 as `3x1 2x5`."""
    counted = {speed: list(speeds).count(speed) for speed in sorted(set(speeds))}
    return " ".join(f"{count}x{speed:g}" for speed, count in counted.items())


def _verdict(mixes: list[Mix], shares: list[Shares], late: list[Late]) -> int:
    ratio = max(mix.ratio for mix in mixes)
    idle = max(each.idle_share for each in (*mixes, *shares))
    off = max(each.off for each in shares)
    kept = sum(each.holds for each in late)
    lines = {
        f"{len(mixes)} batches over mixed fleets end within {ratio - 1:.1%} of the lower bound "
        f"(at most {RATIO_MAX - 1:.0%})": ratio <= RATIO_MAX,
        f"cards idle {idle:.2%} of the time while clips wait (less than {IDLE_MAX:.0%})": (
            idle < IDLE_MAX
        ),
        f"projects get their shares within {off:.2%} over an hour (at most {OFF_MAX:.0%})": (
            off <= OFF_MAX
        ),
        f"{kept} of {len(late)} deadlines that can be met are": kept == len(late),
    }
    for line, holds in lines.items():
        print(f"{'holds' if holds else 'FAILS'}: {line}")
    return 0 if all(lines.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
