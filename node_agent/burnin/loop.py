"""Renders golden chunks until the time is up or the card has failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from node_agent.burnin.golden import ChunkResult, Reference, psnr_db
from node_agent.burnin.judge import ChunkOutcome, Limits, Tally, judge
from node_agent.doctor.finding import Finding, State
from node_agent.telemetry import Sample

logger = logging.getLogger(__name__)

Load = Callable[[], ChunkResult]
"""Renders the golden chunk once. Raises whatever the hardware throws."""


@dataclass(frozen=True, slots=True)
class TimedSample:
    """A sample and when it was taken."""

    at: float
    """Seconds of the loop's clock."""
    sample: Sample


class Watch(Protocol):
    """Samples a card while it renders."""

    def drain(self) -> Sequence[TimedSample]:
        """Samples since the last call, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnIn:
    """A burn-in: what it runs on, and what it tells."""

    load: Load
    watch: Watch
    reference: Reference
    stack_id: str
    """Of what `load` renders with."""
    limits: Limits
    clock: Callable[[], float]
    """Monotonic seconds."""
    timed: bool = True
    """A chunk's time speaks of the card: False for a CPU, which others use as well."""
    tell: Callable[[Tally, Sequence[Finding]], None]
    """Called after each chunk."""

    def run(self, tally: Tally, seconds: float) -> tuple[Finding, ...]:
        """Go on until `tally` holds `seconds`, or a verdict is bad; returns the verdicts.

        However it ends, by an interrupt too, `tally` is ready to be kept and gone on with.
        """
        before, began = tally.seconds, self.clock()
        last, first = began, True
        try:
            while tally.seconds < seconds:
                result = self._render(tally)
                for timed in self.watch.drain():
                    tally.add_sample(timed.sample, timed.at - last)
                    last = timed.at
                if result is not None:
                    tally.add_chunk(self._compare(result, timed=self.timed and not first))
                first = False
                tally.seconds = before + self.clock() - began
                findings = judge(tally, self.limits)
                self.tell(tally, findings)
                if any(finding.state is State.BAD for finding in findings):
                    break
        finally:
            tally.end_run()
        return judge(tally, self.limits)

    def _render(self, tally: Tally) -> ChunkResult | None:
        try:
            return self.load()
        except Exception as error:
            logger.exception("the golden chunk cannot be rendered")
            tally.failure = f"{type(error).__name__}: {error}"
            return None

    def _compare(self, result: ChunkResult, *, timed: bool) -> ChunkOutcome:
        return ChunkOutcome(
            seconds=result.seconds,
            same_stack=self.reference.origin.stack_id == self.stack_id,
            psnr_db=psnr_db(result.frames, self.reference.frames),
            timed=timed,
        )
