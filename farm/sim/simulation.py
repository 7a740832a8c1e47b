"""Batches over a simulated fleet, from the first exchange to the last take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farm.plan.policy import Policy
from farm.sim.faults import Faults
from farm.sim.fleet import FleetPlan
from farm.sim.head import SimHead
from farm.sim.outcome import Outcome, Submission
from farm.sim.timeline import WALL_START
from farm.sim.world import Pace


@dataclass(slots=True, kw_only=True)
class Simulation:
    """Call `run` once."""

    fleet: FleetPlan
    submissions: Sequence[Submission]
    ledger: Path
    """A file that `simulated_ledger` made; the oracle reads it afterwards."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Projects' shares; those that are not named have 1."""
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    quiet_after: float = float("inf")
    """Virtual second from which on nothing fails any more."""
    seconds_max: float = 30 * 86_400.0
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)
    attended: bool = True
    """A person resumes paused batches and approves first looks, within minutes."""
    warm: bool = True
    """The cards have their model when the simulation begins."""
    keeps_spans: bool = True
    wall_start: float = WALL_START
    quotes: bool = False
    """Each batch is quoted when it is submitted (`Outcome.quotes`)."""
    on_progress: Callable[[float, int, int], None] = lambda _seconds, _ended, _all: None
    """Called with virtual seconds, clips that have ended, and all."""

    def run(self) -> Outcome:
        """Simulate until every clip has ended, or `seconds_max`."""
        head = SimHead(self)
        try:
            return head.run()
        finally:
            head.close()
