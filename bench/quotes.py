"""How right quotes are: 20 seeded mixes in the simulator, and a few through a real farm.

    python bench/quotes.py                 # both; about twelve minutes
    python bench/quotes.py --mixes 0       # the simulated ones alone

The real farm has test cards of one pace on this machine. Its mixes differ in clips, lengths, sizes
and in what is queued before them; each is quoted by `Submit`, and timed until its last take.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

from about import about
from farm_run import POLL_SECONDS, RunningFarm, running_farm

from farm.domain.clip import CHUNK_FRAMES
from farm.sim.mixes import run_quote

CARDS = 3
SECONDS_PER_CHUNK = 5.0
BATCH_SECONDS_MAX = 600.0
PACKAGES = ("heliostat", "ray", "grpcio", "sqlalchemy")
SIZES = ((384, 640), (640, 384), (256, 448))
OUT = Path(__file__).parent / "results" / "quotes.json"


def rows(dice: random.Random, clips: int, chunks_max: int) -> list[dict[str, str]]:
    """Clips of uneven length and size."""
    found = []
    for i in range(clips):
        height, width = dice.choice(SIZES)
        frames = dice.randint(1, chunks_max * CHUNK_FRAMES)
        found.append(
            {
                "id": f"clip{i}",
                "prompt": "a mirror",
                "frames": str(frames),
                "height": str(height),
                "width": str(width),
            }
        )
    return found


def ended(farm: RunningFarm, batch_id: str) -> Any:
    """The batch, once its last clip has ended."""
    deadline = time.monotonic() + BATCH_SECONDS_MAX
    while not (batch := farm.client.get(batch_id)).HasField("ended_at"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"batch {batch_id} did not end: {batch.clips}")
        time.sleep(POLL_SECONDS)
    return batch


def real_mix(farm: RunningFarm, seed: int) -> dict[str, Any]:
    """One quote of the real farm against what it came to."""
    dice = random.Random(seed)
    ahead = (0, CARDS)[seed % 2]
    before = None
    if ahead:
        before = farm.client.submit(rows(dice, ahead, 3), name=f"ahead-{seed}").batch
    clips = dice.randint(2 * CARDS, 4 * CARDS)
    done = farm.client.submit(rows(dice, clips, dice.choice((4, 6))), name=f"quoted-{seed}")
    assert done.batch is not None
    assert done.quote is not None
    batch, quote = ended(farm, done.batch.batch_id), done.quote
    if before is not None:
        ended(farm, before.batch_id)
    seconds = (batch.ended_at.ToMicroseconds() - quote.quoted_at.ToMicroseconds()) / 1e6
    return {
        "seed": seed,
        "clips": clips,
        "chunks": quote.chunks,
        "ahead": ahead,
        "basis": quote.basis,
        "quoted_seconds": round(3600 * quote.hours.likely, 1),
        "range_seconds": [round(3600 * quote.hours.low, 1), round(3600 * quote.hours.high, 1)],
        "seconds": round(seconds, 1),
        "error": round(3600 * quote.hours.likely / seconds - 1, 4),
        "card_hours_error": round(3600 * quote.card_hours.likely / batch.spent.card_seconds - 1, 4),
    }


def real_mixes(number: int) -> list[dict[str, Any]]:
    """So many, after a batch that shows the cards' pace."""
    found: list[dict[str, Any]] = []
    if not number:
        return found
    with running_farm(CARDS, None, seconds_per_chunk=SECONDS_PER_CHUNK) as farm:
        first = farm.client.submit(rows(random.Random(99), 3 * CARDS, 2), name="first").batch
        assert first is not None
        ended(farm, first.batch_id)
        for seed in range(number):
            found.append(real_mix(farm, seed))
            print(found[-1], flush=True)
    return found


def simulated(seed: int) -> dict[str, Any]:
    """One simulated mix."""
    mix = run_quote(seed)
    assert mix.quote.hours is not None
    assert mix.quote.card_hours is not None
    found = {
        "seed": seed,
        "cards": mix.cards,
        "clips": mix.clips,
        "chunks": mix.chunks,
        "ahead": mix.ahead,
        "priority": mix.priority,
        "quoted_seconds": round(3600 * mix.quote.hours.likely, 1),
        "range_seconds": [
            round(3600 * mix.quote.hours.low, 1),
            round(3600 * mix.quote.hours.high, 1),
        ],
        "seconds": round(3600 * mix.hours, 1),
        "error": round(mix.error, 4),
        "in_range": mix.in_range,
        "card_hours_error": round(mix.quote.card_hours.likely / mix.card_hours - 1, 4),
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Run both, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--mixes", type=int, default=4)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    result = {
        **about("quotes.py", PACKAGES),
        "simulated": [simulated(seed) for seed in range(options.seeds)],
        "farm": {
            "cards": CARDS,
            "seconds_per_chunk": SECONDS_PER_CHUNK,
            "mixes": real_mixes(options.mixes),
        },
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
