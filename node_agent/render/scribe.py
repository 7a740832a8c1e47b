"""The thread that waits for chunks, encodes, writes and reports them while the next one renders.

It takes chunks and ends of attempts in order, so that an attempt's end is always reported after
its last chunk. Nobody waits for it: what the desk lets begin is all that can lie here.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node_agent.encode import Segment, encode_segment, sha256_hex
from node_agent.failpoints import reach
from node_agent.files import sha256_of_file, write_atomic
from node_agent.full_disk import patiently
from node_agent.render.desk import Desk, Rendering
from node_agent.render.failures import classify, describe, is_fatal
from node_agent.render.guard import ExitCode, leave
from node_agent.render.messages import (
    Cancelled,
    ChunkDone,
    Done,
    Ending,
    Failed,
    FileRecord,
    Report,
    Start,
    Yielded,
)
from node_agent.render.profiles import stack_with
from node_agent.render.renderer import (
    CHUNK_FRAMES,
    Frames,
    PendingChunk,
    RenderedChunk,
    Renderer,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    chunk: PendingChunk
    joules: float | None
    embeddings: bytes | None
    changes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _End:
    complete: bool
    failed: Failed | None


class Scribe:
    """Owns the thread; `close` waits until everything put before is written and reported."""

    def __init__(self, renderer: Renderer, desk: Desk, report: Callable[[Report], None]) -> None:
        self._renderer = renderer
        self._desk = desk
        self._report = report
        self._queue: queue.SimpleQueue[tuple[Rendering, _Made | _End] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    def write(
        self,
        rendering: Rendering,
        chunk: PendingChunk,
        *,
        joules: float | None = None,
        embeddings: bytes | None = None,
        changes: tuple[int, ...] = (),
    ) -> None:
        """Hand over a chunk; the card may still be at work on it."""
        self._queue.put((rendering, _Made(chunk, joules, embeddings, changes)))

    def end(
        self, rendering: Rendering, *, complete: bool = False, failed: Failed | None = None
    ) -> None:
        """Report the attempt's end once its chunks are reported; `failed` says why, if it did."""
        self._queue.put((rendering, _End(complete, failed)))

    def close(self) -> None:
        """Finish what was handed over, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (entry := self._queue.get()) is not None:
                rendering, what = entry
                if isinstance(what, _End):
                    self._finish(rendering, what)
                else:
                    self._chunk(rendering, what)
                del entry, what  # a chunk's frames are not kept while waiting for the next
        except BaseException:
            logger.exception("the scribe broke; the render child leaves")
            leave(ExitCode.BROKEN)

    def _chunk(self, rendering: Rendering, made: _Made) -> None:
        number = made.chunk.index
        if rendering.abandoned:
            self._desk.lost_chunk(rendering, number)
            return
        try:
            chunk = made.chunk.wait()
            done = patiently(
                lambda: self._write(rendering, made, chunk), in_vain=lambda: rendering.abandoned
            )
        except Exception as error:
            logger.warning("chunk %d was lost", number, exc_info=True, extra=rendering.ids)
            if is_fatal(error):
                self._desk.condemn()
            if self._desk.fail(rendering):
                self._report(failure_of(rendering, error))
            return
        rendering.reported += 1
        reach("child.chunk.written")
        self._report(done)
        reach("child.chunk.told")

    def _write(self, rendering: Rendering, made: _Made, chunk: RenderedChunk) -> ChunkDone:
        start, began = rendering.start, time.monotonic()
        first = chunk.index * CHUNK_FRAMES
        kept = chunk.frames[: start.spec.frames - first]
        segment = _encoded(start, kept, first)
        directory = Path(start.directory)
        directory.mkdir(parents=True, exist_ok=True)
        stem = f"chunk-{chunk.index:05d}"
        with_init = rendering.reported == 0 and not start.lossless
        suffix = ".mkv" if start.lossless else ".m4s"
        return ChunkDone(
            clip_id=start.spec.clip_id,
            attempt=start.attempt,
            chunk=chunk.index,
            frames=segment.frames,
            frames_rendered=len(chunk.frames),
            render_seconds=chunk.seconds,
            vae=chunk.vae,
            busy_seconds=chunk.busy_seconds,
            idle_seconds=chunk.idle_seconds,
            passes=chunk.passes,
            pass_seconds=chunk.pass_seconds,
            segment=_write_bytes(directory / f"{stem}{suffix}", segment.media),
            init=_write_bytes(directory / "init.mp4", segment.init) if with_init else None,
            negative=self._write_negative(directory / f"{stem}.safetensors", chunk, rendering),
            embeddings=(
                None
                if made.embeddings is None
                else _write_bytes(directory / "embeddings.safetensors", made.embeddings)
            ),
            lanes=chunk.lanes,
            profile=chunk.profile,
            energy_joules=made.joules,
            steered=chunk.negative.steered if chunk.negative else chunk.steered,
            changes=made.changes,
            encode_seconds=time.monotonic() - began,
        )

    def _write_negative(
        self, path: Path, chunk: RenderedChunk, rendering: Rendering
    ) -> FileRecord | None:
        if chunk.negative is None:
            return None
        from node_agent.render.negatives import Origin, write_negative  # only with latents

        stack = stack_with(self._renderer.stack_id, chunk.profile)
        origin = Origin(chunk.index, rendering.model_digest, stack)
        write_negative(path, chunk.negative, origin)
        return FileRecord(path=str(path), size=path.stat().st_size, sha256=sha256_of_file(path))

    def _finish(self, rendering: Rendering, end: _End) -> None:
        clip_id, attempt = rendering.key
        ending: Ending | None
        if rendering.broken:
            ending = None  # the failure to write was reported when it happened
        elif end.failed:
            ending = end.failed
        elif end.complete and rendering.reported == rendering.chunks:
            ending = Done(clip_id=clip_id, attempt=attempt)
        elif rendering.dropped:
            ending = Cancelled(clip_id=clip_id, attempt=attempt)
        else:
            ending = Yielded(clip_id=clip_id, attempt=attempt)
        self._desk.end(rendering, forget=not isinstance(ending, (Done, Yielded)))
        if ending is not None:
            self._report(ending)


def failure_of(rendering: Rendering, error: BaseException) -> Failed:
    """The report of an attempt that ended in `error`."""
    return Failed(
        clip_id=rendering.key[0],
        attempt=rendering.key[1],
        failure=classify(error),
        message=describe(error),
        fatal=is_fatal(error),
    )


def _encoded(start: Start, frames: Frames, first: int) -> Segment:
    if start.lossless:
        from node_agent.film import lossless  # only where films are made by hand

        return Segment(b"", lossless(frames, start.fps), len(frames))
    return encode_segment(frames, start_frame=first, fps=start.fps)


def _write_bytes(path: Path, content: bytes) -> FileRecord:
    write_atomic(path, content)
    return FileRecord(path=str(path), size=len(content), sha256=sha256_hex(content))
