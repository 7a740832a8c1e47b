"""How near the farm comes to what no plan can beat: seeded fleets and batches, run and measured.

The real coordinator with every exchange, on fleets of cards of speed 1, 2 and 5; a chunk takes 24 s
at speed 1. The fleet is warm: models are loaded before the clock starts. Nothing fails.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.domain.spec import ClipSpec, NewClip
from farm.plan.economics import Baseline, Basis
from farm.sim.fleet import CARD_TYPES, CardType, FleetPlan
from farm.sim.ledger import simulated_ledger
from farm.sim.outcome import Outcome, Submission
from farm.sim.seeded import SeedFailed
from farm.sim.simulation import Simulation

SPEEDS: Final = (1.0, 2.0, 5.0)
WORK: Final = Work(384, 640, (2, 2, 2))
CHUNK_SECONDS: Final = 24.0
"""On a card of speed 1; each chunk takes up to 2% more or less."""
HOUR: Final = 3600.0
TICK_SECONDS: Final = 1.0
"""Between two looks of the coordinator at who has to yield."""
LATE_SECONDS: Final = 120.0
"""For so long after its deadline a batch is still waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A batch of uneven clips over a fleet of unlike cards."""

    seed: int
    speeds: Sequence[float]
    clips: int
    bound_seconds: float
    finish_seconds: float
    """Until the last take is committed."""
    idle_share: float
    """Of the card seconds in which clips waited: those of ready cards with nothing to do."""
    utilisation: float
    """Share of all card seconds that went into rendering."""

    @property
    def ratio(self) -> float:
        """1 is as good as any plan could be."""
        return self.finish_seconds / self.bound_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What projects with work enough for hours had of a fleet after one."""

    weights: Mapping[str, float]
    had: Mapping[str, float]
    """By project, its part of all chunks that were rendered."""
    idle_share: float

    @property
    def off(self) -> float:
        """The largest difference between what a project had and its weight's part."""
        total = sum(self.weights.values())
        return max(abs(self.had[name] - w / total) for name, w in self.weights.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A batch with a deadline, submitted to a fleet with hours of other work; seconds from then."""

    seed: int
    kind: str
    """tight: at most a minute more than it needs; roomy: ten minutes or more."""
    speeds: Sequence[float]
    clips: int
    bound_seconds: float
    alone_seconds: float
    """What it takes on the same fleet with nothing else to do: so it can be done."""
    deadline_seconds: float
    finish_seconds: float | None
    """None: it had not ended two minutes after its deadline."""

    @property
    def holds(self) -> bool:
        """It ended in time."""
        return self.finish_seconds is not None and self.finish_seconds <= self.deadline_seconds


def lower_bound(chunks: Sequence[int], speeds: Sequence[float]) -> float:
    """Seconds that clips of so many chunks take at least, by whatever plan.

    All of the work on all of the cards, or the longest clip on the fastest card. Chunks alone:
    prompts, uploads and takes, which a simulated card has too, are left out.
    """
    return CHUNK_SECONDS * max(sum(chunks) / sum(speeds), max(chunks) / max(speeds))


def run_mix(seed: int, clips_per_card: int) -> Mix:
    """5 to 12 cards, clips of 5 to 60 chunks."""
    dice = random.Random(seed)  # noqa: S311 - a simulation is repeatable
    speeds = [dice.choice(SPEEDS) for _ in range(dice.randint(5, 12))]
    chunks = [dice.randint(5, 60) for _ in range(clips_per_card * len(speeds))]
    outcome = _run(speeds, [Submission(name="batch", clips=_clips(chunks))], seed=seed)
    return Mix(
        seed=seed,
        speeds=speeds,
        clips=len(chunks),
        bound_seconds=lower_bound(chunks, speeds),
        finish_seconds=outcome.finish_seconds,
        idle_share=outcome.idle_share_of_waiting,
        utilisation=outcome.utilisation,
    )


def run_shares(weights: Mapping[str, float], seed: int) -> Shares:
    """An hour of 12 cards, four of each speed, and clips of 1 to 12 chunks for many hours."""
    dice, speeds = random.Random(seed), SPEEDS * 4  # noqa: S311 - a simulation is repeatable
    batches = [
        Submission(
            name=name, project=name, clips=_clips([dice.randint(1, 12) for _ in range(1500)])
        )
        for name in weights
    ]
    outcome = _run(speeds, batches, weights=weights, seed=seed, seconds_max=HOUR, keeps_spans=True)
    chunks = Counter(outcome.batches[span.clip_id.split("-")[0]] for span in outcome.record.spans)
    return Shares(
        weights=weights,
        had={name: chunks[name] / chunks.total() for name in weights},
        idle_share=outcome.idle_share_of_waiting,
    )


def run_late(seed: int) -> list[Late]:
    """3 to 8 cards in the midst of other work, and 3 to 20 clips that are due: tight and roomy.

    The batch can be done in time, for there is a way: let the cards end the chunks in render, begin
    with it then, and do nothing else until it is done. That is tried. What gives up its card does
    so twice, as the batch comes and when its last clips go to faster cards; each time a look of the
    coordinator and the slowest card's chunk go by.
    """
    dice = random.Random(seed)  # noqa: S311 - a simulation is repeatable
    speeds = [dice.choice(SPEEDS) for _ in range(dice.randint(3, 8))]
    chunks = [dice.randint(1, 20) for _ in range(dice.randint(3, 20))]
    at, clips = dice.uniform(100.0, 2000.0), _clips(chunks)
    patience = 2 * (TICK_SECONDS + CHUNK_SECONDS / min(speeds))
    alone = _run(speeds, [Submission(name="due", clips=clips, at=at)], seed=seed)
    needed = alone.finish_seconds - at
    found = []
    for kind, more in (("tight", (0.0, 60.0)), ("roomy", (600.0, 3000.0))):
        deadline = at + patience + needed + dice.uniform(*more)
        others = Submission(name="others", clips=_clips([dice.randint(10, 60) for _ in range(200)]))
        due = Submission(name="due", clips=clips, at=at, deadline=deadline)
        outcome = _run(speeds, [others, due], seed=seed, seconds_max=deadline + LATE_SECONDS)
        ended = {outcome.batches[i]: seconds for i, seconds in outcome.finish_by_batch.items()}
        found.append(
            Late(
                seed=seed,
                kind=kind,
                speeds=speeds,
                clips=len(chunks),
                bound_seconds=lower_bound(chunks, speeds),
                alone_seconds=needed,
                deadline_seconds=deadline - at,
                finish_seconds=ended["due"] - at if "due" in ended else None,
            )
        )
    return found


def _run(
    speeds: Sequence[float],
    submissions: Sequence[Submission],
    *,
    seed: int,
    weights: Mapping[str, float] | None = None,
    seconds_max: float = 100 * HOUR,
    keeps_spans: bool = False,
) -> Outcome:
    with simulated_ledger() as path:
        outcome = Simulation(
            fleet=FleetPlan(cards=tuple((1, _card(speed)) for speed in speeds)),
            submissions=submissions,
            ledger=path,
            weights=weights or {},
            seed=seed,
            seconds_max=seconds_max,
            attended=False,
            keeps_spans=keeps_spans,
        ).run()
    if outcome.problems:
        raise SeedFailed(f"seed {seed}: {'; '.join(outcome.problems)}")
    return outcome


def _card(speed: float) -> CardType:
    name = f"{speed:g}x"
    given = Baseline(
        name=name,
        frames_per_second=speed * CHUNK_FRAMES / CHUNK_SECONDS,
        variant="distilled",
        work=WORK,
        basis=Basis.MEASURED,
        source="as given",
    )
    return replace(CARD_TYPES["rtx-4060-ti"], name=name, speed=given)


def _clips(chunks: Sequence[int]) -> list[NewClip]:
    return [
        NewClip(
            ordinal=i,
            row=i + 1,
            name=f"clip {i}",
            spec=ClipSpec(
                prompt="p",
                frames=n * CHUNK_FRAMES,
                height=WORK.height,
                width=WORK.width,
                fps=24,
                seed=i,
                steps=WORK.steps,
            ),
        )
        for i, n in enumerate(chunks, 1)
    ]
