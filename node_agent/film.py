"""Films in encodings other than the take's, and the lossless pieces that they are made from.

The take itself stays H.264 in segments (`node_agent.encode`); what is here makes one file for an
edit suite or an archive, by one encoder over all frames, so its bytes may change with threads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter as Reformatter

from heliostat.threads import ordinary_threads
from node_agent.encode import EncodeError, bt709, say_bt709
from node_agent.files import atomic_path
from node_agent.render.renderer import Frames

# SVT-AV1 writes to stderr past every logger: let it tell of errors alone.
os.environ.setdefault("SVT_LOG", "1")

_BIT_EXACT: Final = {"fflags": "+bitexact"}
"""No dates, no random ids: equal packets give equal files."""

_RGB: Final = "bgr0"
"""FFV1's eight bits of red, green and blue, unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How an encoding is made, and the endings of files that hold it."""

    library: str
    pix_fmt: str
    endings: tuple[str, ...]
    crf: int | None = None
    """Constant quality unless told otherwise; None for encodings that have none."""
    crf_max: int = 51
    options: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    """The four letters that players look for."""


CODECS: Final = {
    "h265": Codec(
        library="libx265",
        pix_fmt="yuv420p",
        endings=(".mp4", ".mov", ".mkv"),
        crf=20,
        options={"preset": "medium", "x265-params": "log-level=error"},
        tag="hvc1",
    ),
    "av1": Codec(
        library="libsvtav1",
        pix_fmt="yuv420p10le",
        endings=(".mp4", ".mkv"),
        crf=24,
        crf_max=63,
        options={"preset": "6"},
    ),
    "prores": Codec(
        library="prores_ks",
        pix_fmt="yuv422p10le",
        endings=(".mov", ".mkv"),
        options={"profile": "hq", "vendor": "apl0"},
    ),
    "ffv1": Codec(
        library="ffv1",
        pix_fmt=_RGB,
        endings=(".mkv",),
        options={"level": "3", "g": "1", "slicecrc": "1"},
    ),
}
"""Without `h264`, which goes through segments. ProRes is 422 HQ; FFV1 holds the very frames."""


def lossless(frames: Frames, fps: int | Fraction) -> bytes:
    """`frames`, (frames, height, width, 3) RGB, as a Matroska film that loses nothing."""
    buffer = io.BytesIO()
    with _open(buffer, "matroska") as film:
        stream = _stream(film, CODECS["ffv1"], frames, Fraction(fps), None)
        _encode(film, stream, frames, 0, Fraction(fps))
        film.mux(stream.encode(None))
    return buffer.getvalue()


def pictures(path: Path) -> Iterator[Any]:
    """The pictures of a film's first track, (height, width, 3) RGB uint8, one at a time."""
    with av.open(str(path)) as film:
        for frame in film.decode(film.streams.video[0]):
            yield frame.to_ndarray(format="rgb24")


def read_lossless(path: Path) -> Frames:
    """The frames that `lossless` was given."""
    frames: Frames = np.stack(list(pictures(path)))
    return frames


class FilmWriter:
    """One film, frames added in order; it appears at `destination` whole or not at all."""

    def __init__(
        self, destination: Path, codec: Codec, *, fps: int | Fraction, crf: int | None = None
    ) -> None:
        self._destination = destination
        self._codec = codec
        self._rate = Fraction(fps)
        self._crf = crf
        self._stack = ExitStack()
        self._film: Any = None
        self._stream: Any = None
        self.frames = 0
        """Frames added so far."""

    def __enter__(self) -> Self:
        """Raises OSError where the folder cannot be written to."""
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._destination))
            kind = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}[self._destination.suffix]
            self._film = stack.enter_context(_open(str(temporary), kind))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:  # the unfinished file goes with it
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._stream is None:
                raise EncodeError(f"{self._destination}: a film has at least one frame")
            self._film.mux(self._stream.encode(None))

    @property
    def encoder_id(self) -> str:
        """Encoder, its version and quality, for the stack id."""
        version = ".".join(map(str, av.library_versions["libavcodec"]))
        crf = self._codec.crf if self._crf is None else self._crf
        quality = "" if self._codec.crf is None else f",crf{crf}"
        return f"{self._codec.library},libavcodec-{version}{quality}"

    def add(self, frames: Frames) -> None:
        """The next frames, (frames, height, width, 3) RGB. Raises OSError when the disk is full."""
        if self._stream is None:
            self._stream = _stream(self._film, self._codec, frames, self._rate, self._crf)
            with ordinary_threads():
                self._film.start_encoding()
        _encode(self._film, self._stream, frames, self.frames, self._rate)
        self.frames += len(frames)


def _open(target: Any, kind: str) -> Any:
    options = _BIT_EXACT | ({"movflags": "+faststart"} if kind in ("mp4", "mov") else {})
    return av.open(target, "w", format=kind, options=options)


def _stream(film: Any, codec: Codec, frames: Frames, rate: Fraction, crf: int | None) -> Any:
    options = dict(codec.options)
    if codec.crf is not None:
        options["crf"] = str(codec.crf if crf is None else crf)
    stream = film.add_stream(codec.library, rate=rate, options=options)
    context = stream.codec_context
    _, context.height, context.width, _ = frames.shape
    context.pix_fmt = codec.pix_fmt
    if codec.tag is not None and film.format.name != "matroska":
        context.codec_tag = codec.tag
    if codec.pix_fmt != _RGB:
        say_bt709(context)
    return stream


def _encode(film: Any, stream: Any, frames: Frames, first: int, rate: Fraction) -> None:
    pix_fmt, reformatter = stream.codec_context.pix_fmt, Reformatter()
    for number, picture in enumerate(frames, first):
        if pix_fmt == _RGB:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=_RGB)
        else:
            frame = bt709(reformatter, picture, pix_fmt)
        frame.pts, frame.time_base = number, 1 / rate
        film.mux(stream.encode(frame))
