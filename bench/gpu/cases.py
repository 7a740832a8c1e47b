"""What is measured, in order of value. Pure.

A group is measured by one process, which loads the model once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
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
    eager: bool = False
    """Blocks are not compiled, wherever else they are; for a breakdown."""
    cases: tuple[Case, ...]

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        where = self.cap or ("streamed" if self.streamed else "resident")
        return f"{self.subject}-{where}{'-eager' if self.eager else ''}"


def order() -> tuple[Group, ...]:
    """Everything there is to measure, the most valuable first.

    A group comes twice where some of its cases can wait. What the promises are judged by comes
    first: seven minutes of an H200, by the card model, and what loading takes.
    """
    capped = (
        Case(steps=TWO, parts=True),
        Case(steps=TWO, lanes=4),
        Case(steps=TWO, lanes=4, slow=True),
    )
    resident = (Case(steps=ONE, rounds=FLAT_CHUNKS, parts=True), Case(steps=ONE, lanes=4))
    half = Case(steps=TWO, lanes=4, parts=True, trace=True)
    first = (
        _streamed(STOCK, "8G", Case(steps=TWO, parts=True), Case(steps=TWO, slow=True)),
        _streamed("fast", "8G", *capped),
        _streamed("exact", "8G", *capped),
        Group(subject="fast", cases=resident),
        Group(subject="exact", cases=(*resident, Case(steps=TWO, lanes=4))),
        _streamed("exact", "half", half),
        Group(subject=STOCK, cases=(Case(steps=ONE, parts=True),)),
    )
    capped_too = (
        Case(steps=ONE, rounds=FLAT_CHUNKS),
        Case(steps=TWO, slow=True),
        Case(steps=TWO, lanes=2),
        Case(steps=ONE, lanes=4),
    )
    resident_too = (Case(steps=TWO), Case(steps=ONE, lanes=2))
    brief = (Case(steps=TWO), Case(steps=TWO, lanes=4), Case(steps=ONE))
    then = (
        _streamed("fast", "8G", *capped_too),
        _streamed("exact", "8G", *capped_too),
        Group(subject="fast", cases=(*resident_too, Case(steps=TWO, lanes=4))),
        Group(subject="exact", cases=resident_too),
        Group(subject="fast-fp8", cases=(*resident, *resident_too)),
        _streamed("fast-fp8", "8G", *capped, *capped_too),
        *(
            Group(subject=each, eager=True, cases=(Case(steps=ONE, parts=True),))
            for each in ("exact", "fast")
        ),
        Group(subject=STOCK, cases=(Case(steps=TWO),)),
        _streamed(STOCK, "8G", Case(steps=ONE)),
        *(_streamed(each, cap, *brief) for cap in ("16G", "6G") for each in ("fast", "exact")),
        _streamed("exact", "half", replace(half, lanes=1)),
        _streamed(STOCK, "", Case(steps=TWO), Case(steps=ONE)),
        *(_streamed("fast-fp8", cap, *brief) for cap in ("16G", "6G")),
    )
    return first + then


def _streamed(subject: str, cap: str, *cases: Case) -> Group:
    return Group(subject=subject, cap=cap, streamed=True, cases=cases)


def picked(
    groups: Sequence[Group],
    names: Sequence[str] = (),
    *,
    rounds_max: int = FLAT_CHUNKS,
    lanes_max: int = LANES_MAX,
    done: Set[tuple[str, str]] = frozenset(),
) -> tuple[Group, ...]:
    """The groups that are named (all, where none is), without what goes beyond these limits.

    `done` has what need not be measured, by names of group and case.

    Raises `ValueError` for a name that no group has.
    """
    unknown = set(names) - {group.name for group in groups}
    if unknown:
        known = ", ".join(group.name for group in groups)
        raise ValueError(f"no group {', '.join(sorted(unknown))}; there are {known}")
    found = []
    for group in groups:
        cases = tuple(
            replace(case, rounds=min(case.rounds, rounds_max))
            for case in group.cases
            if case.lanes <= lanes_max and (group.name, case.name) not in done
        )
        if cases and (not names or group.name in names):
            found.append(replace(group, cases=cases))
    return tuple(found)


def named(group: Group, case: Case, **fields: Any) -> dict[str, Any]:
    """The record of a case."""
    return {
        "group": group.name,
        "subject": group.subject,
        "cap": group.cap,
        "streamed": group.streamed,
        "eager": group.eager,
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
