"""Whatever goes wrong, in whatever order, every accepted clip ends exactly once (REL-1).

A seed is a small farm with some of all faults. `HELIOSTAT_SIM_SEED=N` repeats one alone;
`HELIOSTAT_SIM_SEEDS` is how many are tried. `tools/soak_seeds.py` tries very many.
"""

from __future__ import annotations

import os

import pytest

from farm.sim.seeded import run_seed

ONE = os.environ.get("HELIOSTAT_SIM_SEED")
SEEDS = int(os.environ.get("HELIOSTAT_SIM_SEEDS", "200"))
AT_ONCE = 10
BLOCKS = (
    [range(int(ONE), int(ONE) + 1)]
    if ONE
    else [range(n, min(n + AT_ONCE, SEEDS)) for n in range(0, SEEDS, AT_ONCE)]
)


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_every_clip_ends_exactly_once(seeds: range) -> None:
    for seed in seeds:
        run_seed(seed)
