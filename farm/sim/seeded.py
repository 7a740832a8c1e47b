"""Fault simulation by seed: a small farm, and everything that can go wrong with it.

A seed is a farm, its batches, its faults and their order; the oracle looks at the ledger at the
end. Whatever fails fails again with the same seed.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Final

from farm.domain.errors import FarmError
from farm.domain.spec import ClipSpec, NewClip
from farm.sim.faults import Faults
from farm.sim.fleet import FleetPlan, parse_cards
from farm.sim.ledger import copy_to, simulated_ledger
from farm.sim.outcome import Outcome, Submission
from farm.sim.simulation import Simulation

SPEEDS: Final = {"slow": 8.0, "usual": 16.0, "fast": 40.0}
"""Frames per second: faster than cards are, so that faults strike in the midst of clips."""
HOURS_MAX: Final = 6.0
"""Virtual; long after all is quiet every clip must have ended."""

_MOST: Final = Faults(
    card_death=20 / 3600,
    card_freeze=10 / 3600,
    card_twin=6 / 3600,
    node_death=6 / 3600,
    partition=12 / 3600,
    coordinator_restart=60 / 3600,
    clock_step=30 / 3600,
    lost_request=0.08,
    lost_reply=0.08,
    late=0.03,
    duplicate=0.1,
    commit_error=0.05,
    upload_again=0.08,
    slow=0.3,
    poison=0.15,
    input=0.03,
    oom=0.05,
    node=0.04,
    storage=0.04,
    stall=0.01,
)
"""The worst that a seed may draw of each."""


class SeedFailed(FarmError):
    """A simulation ended otherwise than promised; its seed repeats it."""

    reason = "SEED_FAILED"


def seeded_faults(dice: random.Random) -> Faults:
    """Some of all faults, each as hard as chance has it."""
    drawn = {
        name: getattr(_MOST, name) * dice.random() ** 2
        for name in Faults.__dataclass_fields__
        if dice.random() < 0.4
    }
    return replace(Faults(), **drawn)


def seeded_fleet(dice: random.Random) -> FleetPlan:
    """3 to 8 cards of unlike speeds, on machines of one to three."""
    names = [dice.choice(list(SPEEDS)) for _ in range(dice.randint(3, 8))]
    plan = parse_cards(",".join(names), SPEEDS)
    return replace(plan, cards_per_node=dice.randint(1, 3))


def seeded_batches(dice: random.Random) -> list[Submission]:
    """10 to 40 clips of one to four chunks, in one to three batches."""
    left = dice.randint(10, 40)
    batches: list[Submission] = []
    while left > 0:
        size = left if len(batches) == 2 else min(left, dice.randint(5, 40))
        left -= size
        batches.append(
            Submission(
                name=f"batch {len(batches) + 1}",
                clips=[seeded_clip(n, dice) for n in range(1, size + 1)],
                project=dice.choice(["one", "two"]),
                priority=dice.randint(-1, 1),
                at=dice.choice([0.0, dice.uniform(0.0, 120.0)]),
                deadline=dice.choice([None, dice.uniform(60.0, 600.0)]),
                first_look=dice.random() < 0.2,
            )
        )
    return batches


def seeded_clip(ordinal: int, dice: random.Random) -> NewClip:
    """A clip of some length."""
    frames = dice.randint(1, 132)
    spec = ClipSpec(prompt="p", frames=frames, height=384, width=640, fps=24, seed=ordinal)
    return NewClip(ordinal=ordinal, row=ordinal + 1, name=f"clip {ordinal}", spec=spec)


def seeded_simulation(seed: int, ledger: Path) -> Simulation:
    """The whole of what a seed stands for."""
    dice = random.Random(f"farm/{seed}")  # noqa: S311 - a simulation is repeatable
    return Simulation(
        fleet=seeded_fleet(dice),
        submissions=seeded_batches(dice),
        ledger=ledger,
        seed=seed,
        faults=seeded_faults(dice),
        quiet_after=dice.uniform(60.0, 600.0),
        seconds_max=HOURS_MAX * 3600,
        warm=dice.random() < 0.5,
        keeps_spans=False,
    )


def run_seed(seed: int, keep: Path | None = None) -> Outcome:
    """Simulate and check. Raises `SeedFailed` with all that does not hold, and how to see it again.

    `keep` is where the ledger of a seed that failed is left.
    """
    with simulated_ledger() as path:
        simulation = seeded_simulation(seed, path)
        try:
            outcome = simulation.run()
            _check(outcome)
        except Exception as error:
            if keep is not None:
                copy_to(path, keep)
            raise SeedFailed(
                f"seed {seed}: {error or type(error).__name__}\n"
                f"again: HELIOSTAT_SIM_SEED={seed} pytest tests/sim/test_seeds.py"
            ) from error
    return outcome


def _check(outcome: Outcome) -> None:
    if not outcome.finished:
        raise SeedFailed(f"not every clip has ended after {HOURS_MAX:g} hours: {outcome.states}")
    if outcome.problems:
        raise SeedFailed("\n".join(outcome.problems))
