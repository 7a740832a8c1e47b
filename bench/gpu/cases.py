"""What is measured, in order of value. Pure.

A group is measured by one process, which loads the model once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

STOCK: Final = "stock"
Steps = tuple[int, ...]
ONE: Final = (1, 1, 1)
TWO: Final = (2, 2, 2)
FLAT_CHUNKS: Final = 12
"""Over which memory has to be flat."""
LANES_MAX: Final = 4
ROUNDS: Final = 2
"""That are timed, where only the pace is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One setting."""

    steps: Steps
    lanes: int = 1
    slow: bool = False
    """The link to the card is slowed down, by repeated copies."""
    rounds: int = ROUNDS
    """That are timed, after one that warms up; a round is the next chunk of every lane."""
    parts: bool = False
    """One more round is profiled."""
    trace: bool = False
    """And what the profiler saw is kept."""

    @property
    def name(self) -> str:
        """Unique within its group."""
        slow = ", slow link" if self.slow else ""
        return f"{','.join(map(str, self.steps))} x{self.lanes}{slow}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A model in memory, and what is measured of it."""

    subject: str
    """`stock`, or one of our profiles."""
    cap: str = ""
    """The most GPU memory that may be taken: `8G`, or `half`, room for half the weights."""
    streamed: bool = False
    """Weights are on the host; else all are on the card."""
    cases: tuple[Case, ...]

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return f"{self.subject}-{self.cap or ('streamed' if self.streamed else 'resident')}"


def order() -> tuple[Group, ...]:
    """Everything there is to measure, the most valuable first."""
    stock = (
        Case(steps=TWO, rounds=3, parts=True),
        Case(steps=TWO, slow=True),
        Case(steps=ONE),
    )
    capped = (
        Case(steps=TWO, rounds=FLAT_CHUNKS, parts=True),
        Case(steps=TWO, lanes=4),
        Case(steps=TWO, slow=True),
        Case(steps=TWO, lanes=4, slow=True),
        Case(steps=TWO, lanes=2),
        Case(steps=ONE),
        Case(steps=ONE, lanes=4),
    )
    resident = (
        Case(steps=ONE, rounds=FLAT_CHUNKS, parts=True),
        Case(steps=ONE, lanes=4),
        Case(steps=ONE, lanes=2),
        Case(steps=TWO),
        Case(steps=TWO, lanes=4),
    )
    half = (
        Case(steps=TWO, lanes=4, parts=True, trace=True),
        Case(steps=TWO, parts=True, trace=True),
    )
    brief = (Case(steps=TWO), Case(steps=TWO, lanes=4), Case(steps=ONE))
    return (
        Group(subject=STOCK, cap="8G", streamed=True, cases=stock),
        Group(subject="fast", cap="8G", streamed=True, cases=capped),
        Group(subject="exact", cap="8G", streamed=True, cases=capped),
        Group(subject="fast", cases=resident),
        Group(subject="exact", cases=resident),
        Group(subject=STOCK, cases=(Case(steps=ONE, rounds=3, parts=True), Case(steps=TWO))),
        Group(subject="exact", cap="half", streamed=True, cases=half),
        Group(subject="fast-fp8", cases=resident),
        Group(subject="fast-fp8", cap="8G", streamed=True, cases=capped),
        *(
            Group(subject=subject, cap=cap, streamed=True, cases=brief)
            for cap in ("16G", "6G")
            for subject in ("fast", "exact", "fast-fp8")
        ),
        Group(subject=STOCK, streamed=True, cases=(Case(steps=TWO), Case(steps=ONE))),
    )


def picked(
    groups: Sequence[Group],
    names: Sequence[str] = (),
    *,
    rounds_max: int = FLAT_CHUNKS,
    lanes_max: int = LANES_MAX,
) -> tuple[Group, ...]:
    """The groups that are named (all, where none is), without what goes beyond these limits.

    Raises `ValueError` for a name that no group has.
    """
    unknown = set(names) - {group.name for group in groups}
    if unknown:
        known = ", ".join(group.name for group in groups)
        raise ValueError(f"no group {', '.join(sorted(unknown))}; there are {known}")
    return tuple(
        replace(
            group,
            cases=tuple(
                replace(case, rounds=min(case.rounds, rounds_max))
                for case in group.cases
                if case.lanes <= lanes_max
            ),
        )
        for group in groups
        if not names or group.name in names
    )


def named(group: Group, case: Case, **fields: Any) -> dict[str, Any]:
    """The record of a case."""
    return {
        "group": group.name,
        "subject": group.subject,
        "cap": group.cap,
        "streamed": group.streamed,
        "case": case.name,
        "steps": list(case.steps),
        "lanes": case.lanes,
        "slow": case.slow,
        **fields,
    }


def to_json(group: Group) -> dict[str, Any]:
    """What `from_json` reads."""
    return asdict(group)


def from_json(data: Mapping[str, Any]) -> Group:
    """A group as it was sent."""
    cases = tuple(Case(**{**case, "steps": tuple(case["steps"])}) for case in data["cases"])
    return Group(**{**data, "cases": cases})
