"""Small farms on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from farm.domain.spec import ClipSpec, NewClip
from farm.sim.faults import parse_faults
from farm.sim.fleet import parse_cards
from farm.sim.ledger import simulated_ledger
from farm.sim.outcome import Outcome, Submission
from farm.sim.simulation import Simulation

SPEEDS = {"fast": 40.0}
"""A chunk of the default size and steps takes about 1.7 s."""


def new_clips(frames: Sequence[int]) -> list[NewClip]:
    return [
        NewClip(
            ordinal=i,
            row=i + 1,
            name=f"clip {i}",
            spec=ClipSpec(prompt="p", frames=n, height=384, width=640, fps=24, seed=i),
        )
        for i, n in enumerate(frames, 1)
    ]


Simulate = Callable[..., tuple[Outcome, Path]]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    """Run a simulation; returns what it came to, and its ledger."""
    with ExitStack() as stack:

        def run(
            cards: str = "4xfast",
            frames: Sequence[int] = (66,) * 12,
            failures: str = "",
            cards_per_node: int = 2,
            **more: object,
        ) -> tuple[Outcome, Path]:
            path = stack.enter_context(simulated_ledger())
            simulation = Simulation(
                fleet=replace(parse_cards(cards, SPEEDS), cards_per_node=cards_per_node),
                submissions=[Submission(name="batch", clips=new_clips(frames))],
                ledger=path,
                faults=parse_faults(failures),
                **{"seconds_max": 4 * 3600.0, **more},  # type: ignore[arg-type]
            )
            return simulation.run(), path

        yield run
