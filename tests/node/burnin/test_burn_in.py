"""A burn-in passes a sound card and finds a bad one, in hours that a virtual clock makes short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from node_agent.burnin.golden import ChunkResult, Origin, Reference
from node_agent.burnin.judge import Limits, Tally, judge
from node_agent.burnin.loop import BurnIn, TimedSample
from node_agent.doctor.finding import Finding, State
from node_agent.telemetry import Sample

HOUR = 3600.0
ORIGIN = Origin(model_digest="m", stack_id="torch-1,card,exact", size="8x8")
FRAMES = np.full((33, 8, 8, 3), 100, dtype=np.uint8)
SOUND = {
    "temperature_celsius": 70.0,
    "sm_clock_hertz": 2.5e9,
    "sm_clock_max_hertz": 3.1e9,
    "throttle_reasons": frozenset({"sw_power_cap"}),
    "xid_errors": 0,
}
THROTTLED = {"throttle_reasons": frozenset({"hw_thermal_slowdown"})}


@dataclass
class SimulatedCard:
    """A card on a virtual clock: renders a chunk in half a minute, and tells how it is."""

    condition: Callable[[float], dict] = lambda _hours: {}
    """Hours of burning in → what differs from `SOUND`."""
    chunk_seconds: Callable[[float], float] = lambda _hours: 30.0
    pixel: Callable[[float], int] = lambda _hours: 100
    """Value of the first pixel, which is 100."""
    seconds: float = 0.0
    taken: list[TimedSample] = field(default_factory=list)

    def __call__(self) -> ChunkResult:
        took = self.chunk_seconds(self.seconds / HOUR)
        until = self.seconds + took
        while self.seconds < until:
            self.seconds += 1
            sample = Sample(**{**SOUND, **self.condition(self.seconds / HOUR)})
            self.taken.append(TimedSample(self.seconds, sample))
        frames = FRAMES.copy()
        frames[0, 0, 0, 0] = self.pixel(self.seconds / HOUR)
        return ChunkResult(frames, took)

    def drain(self) -> Sequence[TimedSample]:
        taken, self.taken = self.taken, []
        return taken


def burn(
    card: SimulatedCard, hours: float, tally: Tally | None = None, stack_id: str = ORIGIN.stack_id
) -> tuple[Tally, dict[str, Finding]]:
    tally = Tally() if tally is None else tally
    work = BurnIn(
        load=card,
        watch=card,
        reference=Reference(FRAMES, ORIGIN),
        stack_id=stack_id,
        limits=Limits(),
        clock=lambda: card.seconds,
        tell=lambda _tally, _findings: None,
    )
    return tally, {finding.name: finding for finding in work.run(tally, hours * HOUR)}


def failed(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.state is State.BAD}


def test_a_sound_card_passes_with_every_verdict_good() -> None:
    tally, findings = burn(SimulatedCard(), 4)
    assert {finding.state for finding in findings.values()} == {State.GOOD}
    assert tally.seconds == 4 * HOUR
    assert tally.chunks == 480


def test_a_card_that_throttles_in_hour_three_fails_within_that_hour() -> None:
    tired = SimulatedCard(lambda hours: THROTTLED if 2.5 < hours < 2.6 else {})
    tally, findings = burn(tired, 24)
    assert failed(findings) == {"throttling"}
    assert 2.5 * HOUR < tally.seconds < 3 * HOUR
    assert "heat" in findings["throttling"].remedy


def test_a_moment_of_throttling_is_forgiven() -> None:
    _, findings = burn(SimulatedCard(lambda hours: THROTTLED if 1 < hours < 1.005 else {}), 3)
    assert not failed(findings)
    assert "2.8% of the worst ten minutes" in findings["throttling"].what


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ({"temperature_celsius": 95.0}, "temperature"),
        ({"xid_errors": 1}, "Xid errors"),
        ({"sm_clock_hertz": 1.2e9}, "clock"),
    ],
)
def test_what_happens_late_is_found(condition: dict, verdict: str) -> None:
    _, findings = burn(SimulatedCard(lambda hours: condition if hours > 2 else {}), 3)
    assert failed(findings) == {verdict}
    assert findings[verdict].remedy


def test_chunks_that_take_longer_and_longer_fail() -> None:
    _, findings = burn(SimulatedCard(chunk_seconds=lambda hours: 30 + 5 * hours), 6)
    assert failed(findings) == {"pace"}


def test_the_first_chunk_may_take_its_time() -> None:
    slow_start = SimulatedCard(chunk_seconds=lambda hours: 600.0 if hours == 0 else 30.0)
    _, findings = burn(slow_start, 1)
    assert not failed(findings)


class TestGoldenChunk:
    WRONG_ONCE = staticmethod(lambda hours: 101 if 1 < hours < 1.01 else 100)

    def test_one_wrong_byte_on_the_same_stack_fails(self) -> None:
        tally, findings = burn(SimulatedCard(pixel=self.WRONG_ONCE), 3)
        assert failed(findings) == {"golden chunk"}
        assert tally.chunks_differing == 1

    def test_across_stacks_it_may_differ_a_little(self) -> None:
        _, findings = burn(SimulatedCard(pixel=lambda _: 101), 1, stack_id="torch-2,card,exact")
        assert not failed(findings)
        assert "limit 40 dB across stacks" in findings["golden chunk"].what

    def test_across_stacks_it_may_not_differ_much(self) -> None:
        # six values of 6336 off by 155: 10 log10(255² · 6336 / (6 · 155²)) = 34.6 dB
        class Noisy(SimulatedCard):
            def __call__(self) -> ChunkResult:
                result = super().__call__()
                result.frames[0, 0, :2, :] = 255
                return result

        _, findings = burn(Noisy(), 1, stack_id="torch-2,card,exact")
        assert failed(findings) == {"golden chunk"}
        assert "PSNR 34.6 dB" in findings["golden chunk"].what


def test_a_renderer_that_raises_ends_it_with_the_reason() -> None:
    class Breaks(SimulatedCard):
        def __call__(self) -> ChunkResult:
            if self.seconds > HOUR:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return super().__call__()

    _, findings = burn(Breaks(), 3)
    assert failed(findings) == {"rendering"}
    assert "illegal memory access" in findings["rendering"].what


def test_a_card_that_tells_nothing_is_judged_by_its_pictures() -> None:
    mute = SimulatedCard(lambda _: dict.fromkeys(SOUND))
    _, findings = burn(mute, 1)
    states = {name: finding.state for name, finding in findings.items()}
    told = {"rendering": State.GOOD, "golden chunk": State.GOOD, "pace": State.GOOD}
    untold = ("temperature", "throttling", "clock", "Xid errors")
    assert states == {**told, **dict.fromkeys(untold, State.UNKNOWN)}


def test_a_short_run_is_judged_as_well() -> None:
    _, findings = burn(SimulatedCard(lambda _: THROTTLED), 0.02)
    assert failed(findings) == {"throttling"}


def test_hours_add_up_over_runs_and_errors_of_earlier_runs_count() -> None:
    tally, _ = burn(SimulatedCard(), 1)
    tally.xid_errors_before = tally.xid_errors or 0
    tally, findings = burn(SimulatedCard(), 3, tally)
    assert tally.seconds == 3 * HOUR
    assert tally.chunks == 360
    assert not failed(findings)
    tally.xid_errors_before = 2
    _, findings = burn(SimulatedCard(), 4, tally)
    assert failed(findings) == {"Xid errors"}


def test_an_interrupted_run_can_be_gone_on_with() -> None:
    class Interrupted(SimulatedCard):
        def __call__(self) -> ChunkResult:
            if self.seconds >= HOUR:
                raise KeyboardInterrupt
            return super().__call__()

    tally = Tally()
    with pytest.raises(KeyboardInterrupt):
        burn(Interrupted(), 3, tally)
    assert tally.seconds == HOUR
    assert {finding.state for finding in judge(tally, Limits())} == {State.GOOD}
