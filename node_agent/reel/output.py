"""A clip's frames, as they come back from its negatives, into one file of another encoding."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from node_agent.encode import EncodeSettings, Take, assemble, encode_segment, encoder_id
from node_agent.files import sha256_of_file
from node_agent.film import CODECS, FilmWriter, read_lossless
from node_agent.reel.codecs import CodecName
from node_agent.render.messages import ChunkDone
from node_agent.render.renderer import CHUNK_FRAMES, Frames

_BY_ENDING = {".mp4": CodecName.H264, ".mov": CodecName.PRORES, ".mkv": CodecName.FFV1}


class OutputError(Exception):
    """Such a file cannot hold such an encoding; the message says what can."""


def codec_for(path: Path, codec: CodecName | None, crf: int | None) -> CodecName:
    """The encoding of `path`, by its ending if nobody says. Raises `OutputError`."""
    endings = ", ".join(_BY_ENDING)
    if path.suffix not in _BY_ENDING:
        raise OutputError(f"{path}: a film's name ends in one of {endings}")
    codec = codec or _BY_ENDING[path.suffix]
    known = CODECS.get(codec)
    allowed = known.endings if known else (".mp4",)
    if path.suffix not in allowed:
        raise OutputError(f"{path}: {codec} is kept in {', '.join(allowed)}")
    if crf is not None and known is not None and known.crf is None:
        raise OutputError(f"--crf: {codec} has no such number; leave it out")
    highest = known.crf_max if known else 51
    if crf is not None and not 0 <= crf <= highest:
        raise OutputError(f"--crf {crf}: {codec} takes 0 to {highest}")
    return codec


class Output:
    """Takes chunks in their order; lossless pieces are deleted once they are encoded.

    H.264 goes through segments, so with the take's own settings it gives the take's own bytes.
    """

    def __init__(
        self, path: Path, codec: CodecName, *, fps: int, crf: int | None, folder: Path
    ) -> None:
        """`folder` takes the segments of H.264 until there is a film."""
        self._path = path
        self._fps = fps
        self._folder = folder
        self._settings = EncodeSettings() if crf is None else EncodeSettings(crf=crf)
        self._writer = (
            None if codec is CodecName.H264 else FilmWriter(path, CODECS[codec], fps=fps, crf=crf)
        )
        self._stack = ExitStack()
        self._segments: list[Path] = []
        self._frames = 0

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._stack.enter_context(self._writer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None and self._writer is None:
            init = self._folder / "init.mp4"
            assemble(init, self._segments, self._path, frames=self._frames, fps=self._fps)

    def add(self, done: ChunkDone) -> None:
        """The next chunk. Raises OSError when the disk is full."""
        piece = Path(done.segment.path)
        self.put(done.chunk, read_lossless(piece))
        piece.unlink()

    def put(self, chunk: int, frames: Frames) -> None:
        """The next chunk's frames. Raises OSError when the disk is full."""
        if self._writer is not None:
            self._writer.add(frames)
        else:
            first = chunk * CHUNK_FRAMES
            segment = encode_segment(
                frames, start_frame=first, fps=self._fps, settings=self._settings
            )
            (self._folder / "init.mp4").write_bytes(segment.init)
            self._segments.append(self._folder / f"chunk-{chunk:05d}.m4s")
            self._segments[-1].write_bytes(segment.media)
        self._frames += len(frames)

    @property
    def encoder_id(self) -> str:
        """What of the encoder decides the bytes, for the stack id."""
        if self._writer is None:
            return encoder_id(self._settings)
        return self._writer.encoder_id

    def take(self) -> Take:
        """The finished film, once the block is left."""
        path = self._path
        return Take(path, self._frames, path.stat().st_size, sha256_of_file(path))
