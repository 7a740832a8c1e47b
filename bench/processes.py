"""CPU seconds by kind of process, as the kernel counts them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

COORDINATORS = ("ray::CoordinatorActor", "ray::MeasuredCoordinator")
KINDS: dict[str, Callable[[str], bool]] = {
    "render child": lambda line: "node_agent.render.process" in line,
    "agent": lambda line: line.startswith("ray::AgentActor"),
    "gateway": lambda line: line.startswith("ray::GatewayActor"),
    "coordinator": lambda line: line.startswith(COORDINATORS),
    "cards": lambda line: line.startswith("ray::CardProcess"),
    "PostgreSQL": lambda line: line.startswith("postgres"),
    "object store": lambda line: "farm.objects" in line or "swift" in line or "serve s3" in line,
}
"""Kind → whether a command line is of it; what is of none is Ray's own."""


def kind_of(process: psutil.Process) -> str:
    """Which kind a process of a farm is."""
    line = f"{' '.join(process.cmdline())} {process.name()}"
    return next((kind for kind, is_of in KINDS.items() if is_of(line)), "ray")


def cpu_seconds(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """User and system time so far, by kind; ended children are counted with their parents."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds[kind_of(process)] += times.user + times.system
    return dict(seconds)


def difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What was spent between two counts."""
    return {kind: after[kind] - before.get(kind, 0.0) for kind in after}
