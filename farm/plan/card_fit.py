"""What measurements of a card say of its predictions: corrections, and what they leave open. Pure.

Three factors of the transformer are sought together: of all that it computes, of its 8-bit
arithmetic on top of that, and of the link. They are the most likely ones if measurements are off
by `NOISE` and the model's constants by `DOUBT` (normal, of logarithms). Each stage's pass counts as
much as it takes of the chunk; where weights are streamed, short passes tell of the link and long
ones of computing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Final

from farm.domain.clip import Work
from farm.plan.card_table import Card
from farm.plan.card_time import (
    Attention,
    Corrections,
    Profile,
    Run,
    Vae,
    link_seconds,
    pass_times,
    vae_seconds,
)
from farm.plan.economics import ModelShape, steps_of

NOISE: Final = 0.03
"""Of a measured pass: medians of a few repeat to within that. Estimated."""
DOUBT: Final = MappingProxyType({"compute": 0.3, "low_bit": 0.3, "link": 0.7})
"""Of the model's constants; a link may have half the lanes that it should. Estimated."""
STARTS: Final = (-1.0, 0.0, 1.0, 2.0)
"""Logarithms of the link's factor: hidden behind computing, it does not show which way to look."""
STEPS: Final = (0.4, 0.1, 0.03, 0.01, 0.003)
"""By which logarithms are changed, coarse to fine."""
NO_LINK: Final = -50.0
"""Logarithm of a factor with which everything comes at once."""
TELLING: Final = 8.0
"""So much worse (squares of `NOISE`) must measurements be explained without something, before they
count as showing it."""

Arithmetic = tuple[Profile, Attention]
"""In what a run computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A steady chunk as it was measured, for each of its lanes."""

    model: ModelShape
    run: Run
    work: Work
    passes: tuple[float, ...]
    """Seconds of one pass at each stage, coarse to fine."""
    decodes: Mapping[Vae, float]
    """Seconds for the decode of a chunk, of the run's VAE and of others that were tried."""
    seconds: float
    """Of the whole chunk."""

    @property
    def vae_seconds(self) -> float:
        """Of the chunk, for its decode."""
        return self.decodes[self.run.vae]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Corrections of a card's predictions, and how far they reach."""

    corrections: Corrections
    shown: frozenset[Arithmetic]
    """What has shown how long it computes."""
    vaes: frozenset[Vae]
    """What has been decoded with."""
    link: bool
    """The link has shown its speed: something waited for it, or copies were measured."""
    link_most: float
    """The link's correction is at most this, since weights came in time; infinite if none came."""

    def covers(self, card: Card, run: Run, model: ModelShape, work: Work) -> bool:
        """Whether the measurements tell how long such a run takes."""
        if _arithmetic(run) not in self.shown or run.vae not in self.vaes:
            return False
        if self.link or not run.streamed_bytes:
            return True
        slowest = replace(self.corrections, link=self.link_most)
        return math.isfinite(self.link_most) and not any(
            once.waiting for once in pass_times(card, run, model, work, slowest)
        )

    @property
    def gaps(self) -> tuple[str, ...]:
        """What the measurements do not tell, and which would."""
        lacking = []
        if not any(profile is Profile.EXACT for profile, _ in self.shown):
            lacking.append("bfloat16 arithmetic: measure the profile exact, resident")
        if all(profile is Profile.EXACT for profile, _ in self.shown):
            lacking.append("8-bit arithmetic: measure the profile fast, resident")
        if not self.link:
            lacking.append("the link: measure with less of the card's memory (--vram 8G)")
        return tuple(lacking)


def fitted(card: Card, measured: Sequence[Measured], link_rate: float = 0.0) -> Fit:
    """What makes the predictions those that were measured.

    `link_rate` is how fast pinned memory was copied to the card, GB/s, 0 if nobody measured it: it
    stands for the link where nothing waited for it. Raises `ValueError` without measurements.
    """
    if not measured:
        raise ValueError(f"no measurement of {card.name}: there is nothing to fit")
    passes = [each for m in measured for each in _passes(card, m)]
    ways = {each.arithmetic for each in passes}
    sought = ["compute"]
    sought += ["low_bit"] if len({_is_low_bit(each) for each in ways}) == 2 else []
    sought += ["link"] if any(each.link for each in passes) else []
    starts = [_Factors(link=link if "link" in sought else 0.0) for link in STARTS]
    found = min(
        (_search(passes, sought, start) for start in starts),
        key=lambda factors: factors.cost(passes),
    )
    waited = _worse(passes, found, replace(found, link=NO_LINK), ("compute", "low_bit"))
    vaes = _vae_ratios(card, measured)
    every_vae = [ratio for ratios in vaes.values() for ratio in ratios]
    arrived = [each.measured / each.link for each in passes if each.link and not waited]
    most = min(arrived, default=math.inf)
    if not waited:
        link = card.link / link_rate if link_rate else min(1.0, most)
        found = replace(found, link=math.log(link))
    return Fit(
        corrections=Corrections(
            compute=math.exp(found.compute),
            low_bit=math.exp(found.low_bit),
            link=math.exp(found.link),
            **{f"vae_{vae}": median(vaes.get(vae, every_vae)) for vae in Vae},
        ),
        shown=frozenset(each for each in ways if _computed(passes, found, each)),
        vaes=frozenset(vaes),
        link=waited or bool(link_rate),
        link_most=most,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A measured pass: uncorrected seconds of its parts, and what it was."""

    whole: float
    low_bit: float
    link: float
    measured: float
    weight: float
    """What all passes of its stage take of the chunk's."""
    arithmetic: Arithmetic

    def seconds(self, factors: _Factors) -> float:
        busy = math.exp(factors.compute) * (self.whole + math.exp(factors.low_bit) * self.low_bit)
        return max(busy, math.exp(factors.link) * self.link)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """Logarithms of corrections."""

    compute: float = 0.0
    low_bit: float = 0.0
    link: float = 0.0

    def misfit(self, passes: Sequence[_Pass]) -> float:
        """How far the passes are from what they should be, in squares of `NOISE`."""
        return sum(
            each.weight * (math.log(each.seconds(self) / each.measured) / NOISE) ** 2
            for each in passes
        )

    def cost(self, passes: Sequence[_Pass]) -> float:
        """The same, and how far the constants would be from what they are thought to be."""
        doubts: list[float] = [getattr(self, name) / doubt for name, doubt in DOUBT.items()]
        return self.misfit(passes) + sum(doubt**2 for doubt in doubts)

    def changed(self, name: str, by: float) -> _Factors:
        """With one factor moved."""
        return replace(self, **{name: getattr(self, name) + by})


def _passes(card: Card, m: Measured) -> list[_Pass]:
    """Of a chunk; what surrounds its passes is spread over them."""
    once = pass_times(card, m.run, m.model, m.work)
    twice = pass_times(card, m.run, m.model, m.work, Corrections(low_bit=2.0))
    counts = [steps * m.model.passes_per_step for steps in steps_of(m.model, m.work)]
    total = sum(count * seconds for count, seconds in zip(counts, m.passes, strict=True))
    surrounded = (m.seconds - m.vae_seconds) / total
    return [
        _Pass(
            whole=2 * one.busy - two.busy,
            low_bit=two.busy - one.busy,
            link=link_seconds(card, m.run),
            measured=seconds * surrounded,
            weight=count * seconds / total,
            arithmetic=_arithmetic(m.run),
        )
        for one, two, count, seconds in zip(once, twice, counts, m.passes, strict=True)
    ]


def _search(passes: Sequence[_Pass], sought: Sequence[str], start: _Factors) -> _Factors:
    """The factors near a start that cost least: one after the other, by ever smaller steps."""
    best, lowest = start, start.cost(passes)
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for name in sought:
                for by in (-step, step):
                    tried = best.changed(name, by)
                    cost = tried.cost(passes)
                    if cost < lowest - 1e-9:
                        best, lowest, moved = tried, cost, True
    return best


def _worse(
    passes: Sequence[_Pass], found: _Factors, other: _Factors, sought: Sequence[str]
) -> bool:
    """Whether the passes speak against `other`, even when what is sought makes the best of it."""
    other = _search(passes, sought, other)
    return other.misfit(passes) - found.misfit(passes) > TELLING


def _computed(passes: Sequence[_Pass], found: _Factors, arithmetic: Arithmetic) -> bool:
    """Whether passes of that kind would show it if computing were a fifth faster."""
    own = [each for each in passes if each.arithmetic == arithmetic]
    return _worse(own, found, found.changed("compute", math.log(0.8)), ("link",))


def _vae_ratios(card: Card, measured: Sequence[Measured]) -> dict[Vae, list[float]]:
    """Measured time of decodes over predicted time."""
    found: dict[Vae, list[float]] = {}
    for m in measured:
        for vae, seconds in m.decodes.items():
            found.setdefault(vae, []).append(seconds / vae_seconds(card, vae, m.work))
    return found


def _arithmetic(run: Run) -> Arithmetic:
    return run.profile, run.attention


def _is_low_bit(arithmetic: Arithmetic) -> bool:
    return arithmetic != (Profile.EXACT, Attention.BF16)
