"""What a burn-in has seen, and whether the card passes. Pure: time comes in with what is seen.

Everything judged is a worst case, so what is bad once stays bad, and a burn-in may end with it.
Shares are taken over windows of ten minutes: an hour of throttling fails a card, however many good
hours came before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Final

from node_agent.doctor.finding import Finding, bad, good, unknown
from node_agent.telemetry import Sample

WINDOW_SECONDS: Final = 600.0
WINDOW_SECONDS_MIN: Final = 60.0
"""A shorter rest of a run is judged only where there is nothing else."""
PACE_CHUNKS: Final = 5
"""Chunks whose median time is the pace: the first ones, and the last ones."""
GAP_SECONDS_MAX: Final = 30.0
"""Longer pauses between samples count as time of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a card must keep to."""

    temperature_celsius_max: float = 88.0
    throttled_share_max: float = 0.05
    """Of the time, in any window; only for heat or a lack of power."""
    clock_share_min: float = 0.6
    """Mean clock over the card's highest, in any window."""
    xid_errors_max: float = 0
    psnr_db_min: float = 40.0
    """Golden chunk against a reference of another stack; on the same stack it must be equal."""
    drift_max: float = 1.25
    """Time of the last chunks over that of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """One golden chunk, compared with its reference."""

    seconds: float
    same_stack: bool
    """The reference was made by the same versions on the same kind of card."""
    psnr_db: float | None
    """None where every byte is equal."""
    timed: bool = True
    """Its time counts: not that of a process's first chunk, when kernels may be compiled."""


@dataclass(slots=True, kw_only=True)
class Window:
    """Sums over up to `WINDOW_SECONDS`; each with the time of which it is known."""

    seconds: float = 0.0
    throttled_known: float = 0.0
    throttled: float = 0.0
    clock_known: float = 0.0
    clock: float = 0.0
    """Clock share times seconds."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """All that was seen; numbers and lists alone, so that it can be kept as JSON."""

    seconds: float = 0.0
    """Of burning in, over all runs."""
    samples: int = 0
    temperature_celsius_max: float | None = None
    xid_errors: int | None = None
    xid_errors_before: int = 0
    """Of earlier runs: NVML's count begins anew with each process."""
    throttled_share_max: float | None = None
    clock_share_min: float | None = None
    window: Window = field(default_factory=Window)
    chunks: int = 0
    chunks_differing: int = 0
    same_stack: bool = True
    psnr_db_min: float | None = None
    """Of the chunks that differed."""
    first_seconds: list[float] = field(default_factory=list)
    last_seconds: list[float] = field(default_factory=list)
    drift_max: float | None = None
    failure: str = ""
    """What the renderer raised."""

    def add_sample(self, sample: Sample, seconds: float) -> None:
        """The card as it was over the last `seconds`."""
        self.samples += 1
        if sample.temperature_celsius is not None:
            hottest = self.temperature_celsius_max
            self.temperature_celsius_max = max(sample.temperature_celsius, hottest or 0.0)
        if sample.xid_errors is not None:
            self.xid_errors = self.xid_errors_before + sample.xid_errors
        step = seconds if seconds <= GAP_SECONDS_MAX else 0.0
        window = self.window
        window.seconds += step
        if sample.throttled is not None:
            window.throttled_known += step
            window.throttled += step * sample.throttled
        if sample.sm_clock_hertz is not None and sample.sm_clock_max_hertz:
            window.clock_known += step
            window.clock += step * sample.sm_clock_hertz / sample.sm_clock_max_hertz
        if window.seconds >= WINDOW_SECONDS:
            self._close_window()

    def add_chunk(self, outcome: ChunkOutcome) -> None:
        """A golden chunk was rendered."""
        self.chunks += 1
        self.same_stack = outcome.same_stack
        if outcome.psnr_db is not None:
            self.chunks_differing += 1
            worst = self.psnr_db_min
            self.psnr_db_min = outcome.psnr_db if worst is None else min(outcome.psnr_db, worst)
        if not outcome.timed:
            return
        if len(self.first_seconds) < PACE_CHUNKS:
            self.first_seconds.append(outcome.seconds)
            return
        self.last_seconds = [*self.last_seconds, outcome.seconds][-PACE_CHUNKS:]
        if len(self.last_seconds) == PACE_CHUNKS:
            drift = median(self.last_seconds) / median(self.first_seconds)
            self.drift_max = max(drift, self.drift_max or 0.0)

    def end_run(self) -> None:
        """The run is over: judge what is left of its window."""
        if self.window.seconds >= WINDOW_SECONDS_MIN or (
            self.throttled_share_max is None and self.clock_share_min is None
        ):
            self._close_window()
        self.window = Window()

    def _close_window(self) -> None:
        window = self.window
        if window.throttled_known:
            share = window.throttled / window.throttled_known
            self.throttled_share_max = max(share, self.throttled_share_max or 0.0)
        if window.clock_known:
            share = window.clock / window.clock_known
            least = self.clock_share_min
            self.clock_share_min = share if least is None else min(share, least)
        self.window = Window()


def judge(tally: Tally, limits: Limits) -> tuple[Finding, ...]:
    """A verdict for each limit; unknown where the card cannot tell, or it is too early."""
    return (
        _rendering(tally),
        _golden(tally, limits),
        _within(
            "temperature",
            tally.temperature_celsius_max,
            limits.temperature_celsius_max,
            "{:.0f} °C at most (limit {:.0f} °C)",
            "give it air: clean the fans, more room between cards; or lower its power limit",
        ),
        _within(
            "throttling",
            tally.throttled_share_max,
            limits.throttled_share_max,
            "{:.1%} of the worst ten minutes (limit {:.1%})",
            "see whether heat (fans, paste) or power (cables, supply) slows it down",
        ),
        _clock(tally, limits),
        _within(
            "Xid errors",
            tally.xid_errors,
            limits.xid_errors_max,
            "{:.0f} (limit {:.0f})",
            "`dmesg | grep Xid` names them; try another slot, riser and cable, else return it",
        ),
        _within(
            "pace",
            tally.drift_max,
            limits.drift_max,
            "chunks took up to {:.2f} times as long as at first (limit {:.2f})",
            "something slows down over time: heat, memory, or other programs",
        ),
    )


def _rendering(tally: Tally) -> Finding:
    if tally.failure:
        remedy = "mend it, and burn in again; `farm-node doctor` examines the machine"
        return bad("rendering", f"failed after {tally.chunks} chunks: {tally.failure}", remedy)
    if not tally.chunks:
        return unknown("rendering", "no chunk was rendered yet")
    return good("rendering", f"{tally.chunks} chunks")


def _golden(tally: Tally, limits: Limits) -> Finding:
    if not tally.chunks:
        return unknown("golden chunk", "no chunk was compared yet")
    if tally.psnr_db_min is None:
        return good("golden chunk", "every chunk equals the reference, byte for byte")
    what = (
        f"{tally.chunks_differing} of {tally.chunks} chunks differ from the reference, "
        f"PSNR {tally.psnr_db_min:.1f} dB at worst"
    )
    if tally.same_stack:
        remedy = "it computes or remembers wrongly: no overclocking, then return it"
        return bad("golden chunk", f"{what}, on the same stack", remedy)
    if tally.psnr_db_min < limits.psnr_db_min:
        remedy = "make a reference on this stack (--make-reference) with a card that you trust"
        return bad("golden chunk", f"{what} (limit {limits.psnr_db_min:g} dB)", remedy)
    return good("golden chunk", f"{what} (limit {limits.psnr_db_min:g} dB across stacks)")


def _clock(tally: Tally, limits: Limits) -> Finding:
    if tally.clock_share_min is None:
        return unknown("clock", "not told by the card")
    what = (
        f"{tally.clock_share_min:.0%} of its highest in the worst ten minutes "
        f"(limit {limits.clock_share_min:.0%})"
    )
    if tally.clock_share_min < limits.clock_share_min:
        return bad("clock", what, "see its power limit and cooling: `nvidia-smi -q -d POWER,CLOCK`")
    return good("clock", what)


def _within(name: str, value: float | None, limit: float, text: str, remedy: str) -> Finding:
    """`value` is at most `limit`; `text` shows both."""
    if value is None:
        return unknown(name, "not known: not told by the card, or too early")
    what = text.format(value, limit)
    return bad(name, what, remedy) if value > limit else good(name, what)
