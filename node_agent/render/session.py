"""The render thread's round: clips into lanes, their next chunks in lockstep, and out again.

A chunk goes to the scribe before the card is done with it: the next one needs its latents alone, so
the card finds that one waiting, and frames are copied, encoded and written beside it.

Lanes join and leave between two chunks. Clips whose next chunks are alike (`Clip.lane_group`) are
rendered together; of several groups the one that has waited longest goes first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.render.desk import Desk, Rendering
from node_agent.render.energy import Energy
from node_agent.render.failures import is_fatal
from node_agent.render.messages import Report, Start, Started
from node_agent.render.renderer import (
    Checkpoint,
    CheckpointError,
    Clip,
    Negative,
    PendingChunk,
    RenderedChunk,
    Renderer,
)
from node_agent.render.scribe import Scribe, failure_of

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Lane:
    """A clip in render."""

    rendering: Rendering
    clip: Clip
    rounds_waited: int = 0
    redecode: list[tuple[int, Negative]] = field(default_factory=list)
    """Chunks to decode again before the next one is rendered."""
    changes: tuple[int, ...] = ()
    """Numbers of the changes of prompt that the chunk in render follows."""

    @property
    def next_chunk(self) -> int:
        """The chunk that is made next."""
        return self.redecode[0][0] if self.redecode else self.clip.next_chunk

    @property
    def group(self) -> Hashable:
        """Whom it may be rendered with; whoever decodes again does so alone."""
        return self.rendering.key if self.redecode else self.clip.lane_group

    @property
    def at_limit(self) -> bool:
        """It has as many chunks as it was to make now, be that all of them."""
        limit = self.rendering.start.chunks_max
        return bool(limit) and self.next_chunk >= limit

    @property
    def complete(self) -> bool:
        """Every chunk is handed over."""
        return not self.redecode and self.clip.next_chunk >= self.clip.spec.chunks


class Session:
    """Renders what the desk says, until it says stop or the accelerator is beyond use."""

    def __init__(
        self,
        renderer: Renderer,
        desk: Desk,
        report: Callable[[Report], None],
        *,
        lanes: int = 1,
        energy: Energy | None = None,
    ) -> None:
        """Up to `lanes` clips at a time; `energy` measures what their chunks take."""
        self._renderer = renderer
        self._desk = desk
        self._report = report
        self._width = lanes
        self._energy = energy or Energy(None)
        self._scribe = Scribe(renderer, desk, report)
        self._lanes: list[Lane] = []

    def run(self) -> bool:
        """Render until told to stop; False when a failure ended it before."""
        while self._desk.fit and self._fill():
            self._round()
        for lane in self._lanes:
            self._scribe.end(lane.rendering)
        self._scribe.close()
        return self._desk.fit

    def _fill(self) -> bool:
        """Let clips join; waits for one when there is none. False when the child is to stop."""
        while len(self._lanes) < self._width and self._desk.fit and not self._desk.stopping:
            item = self._desk.next_waiting()
            if item is None and not self._lanes:
                item = self._desk.next()
                self._renderer.clock.start()
            if item is None:
                break
            self._join(item)
        return not self._desk.stopping

    def _join(self, rendering: Rendering) -> None:
        start = rendering.start
        try:
            if start.embeddings is not None:
                self._renderer.take_over(Path(start.embeddings))
            self._renderer.expect(self._desk.waiting_specs())
            rendering.model_digest = self._renderer.digest(start.spec)
            checkpoint = _checkpoint(start, rendering.model_digest)
            clip = self._renderer.start(start.spec, checkpoint)
        except Exception as error:
            logger.warning("cannot begin", exc_info=True, extra=rendering.ids)
            self._fail(rendering, error)
            return
        again = [(n, checkpoint.negatives[n]) for n in start.redecode] if checkpoint else []
        lane = Lane(rendering, clip, redecode=again)
        self._report(Started(clip_id=start.spec.clip_id, attempt=start.attempt))
        if lane.complete or lane.at_limit:
            self._scribe.end(rendering, complete=not lane.at_limit)
        else:
            self._lanes.append(lane)

    def _round(self) -> None:
        """One chunk of the group that has waited longest."""
        for lane in list(self._lanes):
            if lane.rendering.abandoned or lane.rendering.yielding:
                self._leave(lane)
        if not self._lanes:
            return
        first = max(self._lanes, key=lambda lane: lane.rounds_waited)
        group = [lane for lane in self._lanes if lane.group == first.group]
        begun = self._desk.begin_chunks({lane.rendering: lane.next_chunk for lane in group})
        for lane in group:
            if lane.rendering not in begun:
                self._leave(lane)
        group = [lane for lane in group if lane.rendering in begun and self._steered(lane)]
        if group:
            self._step(group)
        for lane in self._lanes:
            lane.rounds_waited = 0 if lane in group else lane.rounds_waited + 1

    def _step(self, group: list[Lane]) -> None:
        again = bool(group[0].redecode)
        for lane in group:
            logger.info("begins chunk %d", lane.next_chunk, extra=lane.rendering.ids)
        try:
            with self._energy.of(len(group)) as spent:
                chunks = [self._decode_again(group[0])] if again else self._render(group)
        except Exception as error:
            for lane in group:
                logger.warning("a chunk failed", exc_info=True, extra=lane.rendering.ids)
                self._leave(lane, error=error)
            return
        for lane, chunk in zip(group, chunks, strict=True):
            if chunk is None:
                self._leave(lane)
                continue
            self._hand_over(lane, chunk, spent.joules, again=again)
            if lane.complete or lane.at_limit:
                self._leave(lane, complete=not lane.at_limit)

    def _render(self, group: list[Lane]) -> list[PendingChunk | None]:
        renderings = {id(lane.clip): lane.rendering for lane in group}
        return self._renderer.step(
            [lane.clip for lane in group], lambda clip: renderings[id(clip)].abandoned
        )

    def _hand_over(
        self, lane: Lane, chunk: PendingChunk, joules: float | None, *, again: bool
    ) -> None:
        is_first = chunk.index == 0 and not again
        embeddings = self._renderer.embeddings(lane.clip) if is_first else None
        self._scribe.write(
            lane.rendering, chunk, joules=joules, embeddings=embeddings, changes=lane.changes
        )

    def _decode_again(self, lane: Lane) -> PendingChunk | None:
        if lane.rendering.abandoned:
            return None
        number, negative = lane.redecode.pop(0)
        frames = self._renderer.decode(negative, lane.clip.spec)
        chunk = RenderedChunk(number, frames, negative=None, seconds=0.0, profile=negative.profile)
        return PendingChunk.whole(chunk)

    def _steered(self, lane: Lane) -> bool:
        """Let a change of prompt take effect; False when it broke the attempt."""
        lane.changes = ()
        if lane.redecode:
            return True
        due = self._desk.take_changes(lane.rendering, lane.next_chunk)
        if due:
            lane.changes = tuple(change.number for change in due)
            try:
                lane.clip.steer(due[-1].prompt, due[-1].blend_chunks)
            except Exception as error:
                logger.warning("cannot be steered", exc_info=True, extra=lane.rendering.ids)
                self._leave(lane, error=error)
                return False
        return True

    def _leave(self, lane: Lane, *, complete: bool = False, error: Exception | None = None) -> None:
        self._lanes.remove(lane)
        if error is not None:
            self._fail(lane.rendering, error)
        else:
            self._scribe.end(lane.rendering, complete=complete)

    def _fail(self, rendering: Rendering, error: Exception) -> None:
        if is_fatal(error):
            self._desk.condemn()
        self._scribe.end(rendering, failed=failure_of(rendering, error))


def _checkpoint(start: Start, model_digest: str) -> Checkpoint | None:
    """Read what a resume needs. Raises CheckpointError for a file that is not what it should be."""
    if not start.resume_chunk:
        return None
    if not start.negatives:
        return Checkpoint(start.resume_chunk, steered=start.steered)
    from node_agent.render.negatives import read_negative  # only for renderers with latents

    try:
        negatives = {
            chunk: read_negative(Path(path), chunk=chunk, model_digest=model_digest)
            for chunk, path in start.negatives.items()
        }
    except OSError as error:
        raise CheckpointError(f"a negative cannot be read: {error}") from error
    return Checkpoint(start.resume_chunk, negatives, start.steered)
