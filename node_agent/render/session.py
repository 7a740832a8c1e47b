"""The render thread's round: the next clip, its checkpoint, its chunks one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from node_agent.render.desk import Desk, Rendering
from node_agent.render.failures import is_fatal
from node_agent.render.messages import Prepare, Report, Start, Started
from node_agent.render.renderer import (
    Checkpoint,
    CheckpointError,
    RenderCancelled,
    Renderer,
)
from node_agent.render.scribe import Scribe, failure_of

logger = logging.getLogger(__name__)


class Session:
    """Renders what the desk says, until it says stop or the accelerator is beyond use."""

    def __init__(self, renderer: Renderer, desk: Desk, report: Callable[[Report], None]) -> None:
        self._renderer = renderer
        self._desk = desk
        self._report = report
        self._scribe = Scribe(renderer, desk, report)

    def run(self) -> bool:
        """Render until told to stop; False when a failure ended it before."""
        fit = True
        while fit and (item := self._desk.next()) is not None:
            if isinstance(item, Prepare):
                self._prepare(item)
            else:
                fit = self._serve(item)
        self._scribe.close()
        return fit

    def _prepare(self, prepare: Prepare) -> None:
        try:
            self._renderer.prepare(prepare.specs)
        except Exception:
            # Only time is lost: each clip's start encodes what is missing, and reports the error.
            logger.warning("the prompts could not be encoded ahead of time", exc_info=True)

    def _serve(self, rendering: Rendering) -> bool:
        """Take one attempt to its end; False when this process cannot render any more."""
        try:
            complete = self._render(rendering)
        except RenderCancelled:
            self._scribe.end(rendering)
        except Exception as error:
            logger.warning("attempt %s failed", rendering.key, exc_info=True)
            fatal = is_fatal(error)
            self._scribe.end(rendering, failed=failure_of(rendering, error, fatal=fatal))
            return not fatal
        else:
            self._scribe.end(rendering, complete=complete)
        return True

    def _render(self, rendering: Rendering) -> bool:
        """Render chunk after chunk; True when the last one is handed over."""
        spec = rendering.start.spec
        clip = self._renderer.start(spec, _checkpoint(rendering.start, self._renderer.model_digest))
        self._report(Started(clip_id=spec.clip_id, attempt=rendering.start.attempt))
        while clip.next_chunk < spec.chunks:
            if not self._desk.begin_chunk(rendering, clip.next_chunk):
                return False
            logger.info("%s attempt %d begins chunk %d", *rendering.key, clip.next_chunk)
            self._scribe.write(rendering, clip.step(lambda: rendering.abandoned))
        return True


def _checkpoint(start: Start, model_digest: str) -> Checkpoint | None:
    """Read what a resume needs. Raises CheckpointError for a file that is not what it should be."""
    if not start.resume_chunk:
        return None
    if not start.negatives:
        return Checkpoint(start.resume_chunk)
    from node_agent.render.negatives import read_negative  # only for renderers with latents

    try:
        negatives = {
            chunk: read_negative(Path(path), chunk=chunk, model_digest=model_digest)
            for chunk, path in start.negatives.items()
        }
    except OSError as error:
        raise CheckpointError(f"a negative cannot be read: {error}") from error
    return Checkpoint(start.resume_chunk, negatives)
