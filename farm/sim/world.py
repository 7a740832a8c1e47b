"""What all parts of a simulation share: time, chance, faults, and what is measured by the way."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from farm.plan.economics import ModelShape
from farm.sim.faults import Faults
from farm.sim.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that everything but rendering takes; guesses, kept in one place."""

    start: float = 4.0
    """From an agent's death to its next start."""
    load: float = 40.0
    """The model onto the card."""
    prompts: float = 1.0
    """The text encoder, for a clip that begins."""
    fetch: float = 0.5
    """The chunks that a clip goes on from."""
    upload: float = 0.6
    """A chunk's or a take's objects."""
    assemble: float = 0.8
    """A take from its segments, and its quality signals."""
    examine: float = 60.0
    """An examination of a card that was found sick."""
    message: tuple[float, float] = (0.002, 0.02)
    """An exchange, one way: least and most."""
    gateway: float = 0.02
    """Exchanges that arrive within it go to the coordinator together."""


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk that was rendered, on virtual seconds."""

    card_id: str
    clip_id: str
    start: float
    end: float


@dataclass(slots=True)
class Record:
    """What a simulation measures."""

    keeps_spans: bool = True
    spans: list[Span] = field(default_factory=list)
    marks: list[tuple[float, str, str]] = field(default_factory=list)
    """(second, card, what happened): deaths and yields."""
    busy: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of rendering by card, those in vain included."""
    counts: Counter[str] = field(default_factory=Counter)
    """Exchanges, faults, whatever else is worth counting, by name."""
    idle: int = 0
    """Cards that could render now and have nothing to."""
    idle_seconds: float = 0.0
    """Card seconds spent so while clips waited."""
    waiting_seconds: float = 0.0
    """Virtual seconds in which clips waited for a card."""

    def rendered(self, card_id: str, clip_id: str, start: float, end: float) -> None:
        """A chunk took this long."""
        self.busy[card_id] += end - start
        self.counts["chunks rendered"] += 1
        if self.keeps_spans:
            self.spans.append(Span(card_id, clip_id, start, end))

    def mark(self, at: float, card_id: str, what: str) -> None:
        """Something happened to a card."""
        self.counts[what] += 1
        if self.keeps_spans:
            self.marks.append((at, card_id, what))


@dataclass(slots=True)
class World:
    """Handed to every part."""

    seed: int
    timeline: Timeline
    faults: Faults
    model: ModelShape
    pace: Pace
    record: Record
    quiet_after: float
    """Virtual second from which on nothing fails any more."""
    _dice: dict[str, random.Random] = field(default_factory=dict)

    def dice(self, name: str) -> random.Random:
        """Chance of its own for each purpose: one more throw here changes nothing elsewhere."""
        found = self._dice.get(name)
        if found is None:
            found = self._dice[name] = random.Random(f"{self.seed}/{name}")  # noqa: S311
        return found

    def strikes(self, share: float, name: str) -> bool:
        """Does a fault of this share strike now?"""
        if share <= 0.0 or self.timeline.monotonic() >= self.quiet_after:
            return False
        struck = self.dice(name).random() < share
        if struck:
            self.record.counts[name] += 1
        return struck

    def is_poisoned(self, clip_id: str) -> bool:
        """This clip fails on every card."""
        share = self.faults.poison
        if share <= 0.0:
            return False
        dice = random.Random(f"{self.seed}/poison/{clip_id}")  # noqa: S311
        return dice.random() < share
