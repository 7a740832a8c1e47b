"""How right quotes are: seeded mixes over simulated fleets, quoted at submission, run to the end.

The real coordinator with every exchange, on 3 to 20 test cards of unequal pace. A first batch shows
it their paces; a second one is in the queue, or in render, when the third is submitted, whose quote
is held against what becomes of it. Nothing fails.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.domain.quote import Quote
from farm.domain.spec import ClipSpec, NewClip
from farm.plan.economics import Baseline, Basis
from farm.sim.fleet import CARD_TYPES, CardType, FleetPlan
from farm.sim.ledger import simulated_ledger
from farm.sim.outcome import Submission
from farm.sim.seeded import SeedFailed
from farm.sim.simulation import Simulation

WORKS: Final = (
    Work(384, 640, (2, 2, 2)),
    Work(384, 640, (1, 1, 1)),
    Work(640, 384, (2, 2, 2)),
    Work(256, 448, (2, 2, 2)),
)
CHUNK_SECONDS: Final = 24.0
"""Of the first work on a card of speed 1."""
WARM_AT: Final = 600.0
"""Seconds between the first batch and the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """One mix: what was quoted, and what it came to."""

    seed: int
    cards: int
    clips: int
    chunks: int
    ahead: int
    """Clips of the batch that is in its way."""
    priority: int
    """Of the quoted batch; the other has 0."""
    quote: Quote
    hours: float
    """From its submission to its last take."""
    card_hours: float
    kilowatt_hours: float

    @property
    def error(self) -> float:
        """Of the hours quoted: 0.1 is a tenth too many."""
        assert self.quote.hours is not None
        return self.quote.hours.likely / self.hours - 1

    @property
    def in_range(self) -> bool:
        """It ended within the range."""
        assert self.quote.hours is not None
        return self.quote.hours.low <= self.hours <= self.quote.hours.high


def run_quote(seed: int) -> Quoted:
    """Run the mix of this seed."""
    dice = random.Random(seed)  # noqa: S311 - a simulation is repeatable
    speeds = [dice.uniform(0.5, 3.0) for _ in range(dice.randint(3, 20))]
    cards = tuple((1, _card(i, speed)) for i, speed in enumerate(speeds))
    first = _clips(dice, 2 * len(speeds), 3)
    ahead = _clips(dice, dice.choice((0, len(speeds), 4 * len(speeds))), 12)
    clips = _clips(dice, dice.randint(2 * len(speeds), 8 * len(speeds)), dice.choice((4, 12, 30)))
    priority = dice.choice((0, 0, 5))
    submissions = [Submission(name="first", clips=first)]
    if ahead:
        submissions.append(Submission(name="ahead", clips=ahead, at=WARM_AT))
    at = WARM_AT + dice.uniform(1, 120)
    submissions.append(Submission(name="quoted", clips=clips, at=at, priority=priority))
    with simulated_ledger() as path:
        outcome = Simulation(
            fleet=FleetPlan(cards=cards),
            submissions=submissions,
            ledger=path,
            seed=seed,
            attended=False,
            keeps_spans=False,
            quotes=True,
        ).run()
    if outcome.problems or not outcome.finished:
        raise SeedFailed(f"seed {seed}: {'; '.join(outcome.problems) or outcome.stuck}")
    batch_id = next(i for i, name in outcome.batches.items() if name == "quoted")
    submitted, quote = outcome.quotes[batch_id]
    spent = outcome.spent[batch_id]
    return Quoted(
        seed=seed,
        cards=len(speeds),
        clips=len(clips),
        chunks=quote.chunks,
        ahead=len(ahead),
        priority=priority,
        quote=quote,
        hours=(outcome.finish_by_batch[batch_id] - submitted) / 3600,
        card_hours=spent.hours,
        kilowatt_hours=spent.kilowatt_hours,
    )


def _card(number: int, speed: float) -> CardType:
    """Each is of a type of its own: nothing of one says anything of another."""
    name = f"test-{number}"
    given = Baseline(
        name=name,
        frames_per_second=speed * CHUNK_FRAMES / CHUNK_SECONDS,
        variant="distilled",
        work=WORKS[0],
        basis=Basis.MEASURED,
        source="as given",
    )
    return replace(CARD_TYPES["rtx-4060-ti"], name=name, speed=given)


def _clips(dice: random.Random, number: int, chunks_max: int) -> Sequence[NewClip]:
    works = dice.sample(WORKS, dice.randint(1, len(WORKS)))
    clips = []
    for i in range(1, number + 1):
        work = dice.choice(works)
        spec = ClipSpec(
            prompt="p",
            frames=dice.randint(1, chunks_max * CHUNK_FRAMES),
            height=work.height,
            width=work.width,
            fps=24,
            seed=i,
            steps=work.steps,
        )
        clips.append(NewClip(ordinal=i, row=i + 1, name=f"clip {i}", spec=spec))
    return clips
