"""Kills at random moments of random processes, over many short clips (`make soak`: many more).

HELIOSTAT_CHAOS_KILLS (30), HELIOSTAT_CHAOS_CLIPS (300) and HELIOSTAT_CHAOS_SEED (random) set the
size, and repeat a run. When the clips end before the kills do, more clips are submitted.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from farm.domain.clip import ENDED, ClipState
from tests.chaos.conftest import Stage, tell_soak
from tests.fixtures.oracle import check_farm

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("HELIOSTAT_CHAOS_KILLS", "30"))
CLIPS = int(os.environ.get("HELIOSTAT_CHAOS_CLIPS", "300"))
SEED = os.environ.get("HELIOSTAT_CHAOS_SEED") or str(random.SystemRandom().randrange(10**9))

WEIGHTS = {
    "child": 6,
    "agent": 6,
    "coordinator": 4,
    "gateway": 4,
    "store": 4,
    "store-supervisor": 2,
    "actors": 1,
    "ray-workers": 1,
    "raylet": 1,
}
"""How often each kind is chosen; what takes long to come back is chosen more rarely."""
PAUSE_SECONDS = (0.2, 3.0)


@pytest.mark.timeout(120 + 30 * KILLS + 5 * CLIPS)
def test_kills_at_random(stage: Stage):
    dice, farm, kills = random.Random(SEED), stage.farm, []
    per_batch = max(1, min(CLIPS, 500))
    batches: list[str] = []

    def ended(batch_id: str) -> bool:
        clips = farm.ledger.progress([batch_id])[batch_id].clips
        return not any(count for state, count in clips.items() if state not in ENDED)

    def submit() -> None:
        rows = [row(dice, f"{len(batches)}-{n}") for n in range(per_batch)]
        batches.append(farm.submit_patiently(rows, f"random {SEED} {len(batches)}"))

    try:
        submit()
        while len(kills) < KILLS:
            time.sleep(dice.uniform(*PAUSE_SECONDS))  # the moment of the next kill
            if ended(batches[-1]):
                submit()
                continue
            kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            kills.append(kind)
            farm.kill(kind, dice.randrange(8))
        while len(batches) * per_batch < CLIPS:
            submit()
        for batch_id in batches:
            farm.wait_until_ended(batch_id, 120 + 5 * CLIPS)
        for batch_id in batches:
            verdict = check_farm(farm, batch_id, submitted=per_batch)
            assert verdict.states() == {ClipState.DONE: per_batch}
    except BaseException:
        print(f"to repeat: HELIOSTAT_CHAOS_SEED={SEED} HELIOSTAT_CHAOS_KILLS={KILLS}")
        print(f"killed, in order: {kills}")
        raise
    clips = len(batches) * per_batch
    tell_soak({"clips": clips, **Counter(f"kill {kind}" for kind in kills)})
    stage.figures.append(f"seed {SEED}: {len(kills)} kills over {clips} clips: {' '.join(kills)}")


def row(dice: random.Random, name: str) -> dict[str, str]:
    """A clip of one or two chunks."""
    frames, seed = dice.randint(1, 66), dice.randrange(2**31)
    fields = {"id": name, "prompt": f"clip {name}", "frames": frames, "seed": seed, "size": "64x64"}
    return {key: str(value) for key, value in fields.items()}
