"""A chunk's frames become a segment; segments become the take, without a second encode.

Each chunk is encoded alone, by a fresh single-threaded H.264 encoder with fixed settings, so its
bytes depend on its frames and its place in the clip only: a chunk rendered again after a resume
gives the same file. The encoder is x264 where the FFmpeg in use has it, as in PyAV's wheel; else
OpenH264, as in our images (docs/decisions/0027-what-images-ship.md).

A segment is a fragment of MP4 (`moof` and `mdat`) whose decode time goes on from chunk to chunk;
the *init segment* (`ftyp` and `moov`) is kept apart and is the same for every chunk of a clip.
`init + segments` plays as it is (HLS, MSE); `assemble` remuxes the very same packets into one
progressive MP4.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.reformatter import VideoReformatter as Reformatter

from node_agent.files import atomic_path, sha256_of_file
from node_agent.render.renderer import CHUNK_FRAMES, Frames

_TICKS_PER_FRAME = 512
"""Track ticks of one frame at a whole frame rate; fine enough for players that seek by time."""

_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
"""BITEXACT: the same bytes on every CPU model, whichever vector instructions it has."""

_ENCODERS = ("libx264", "libopenh264")
"""Of H.264, the better one first."""

_SEGMENT_FLAGS = "cmaf+frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer"
"""`cmaf` and `frag_discont` write the true decode time (`tfdt`) into a lone fragment."""


class EncodeError(ValueError):
    """The frames or the rate cannot be encoded; the message says what is wrong with them."""


class TakeError(Exception):
    """The segments do not add up to the take; the message says which one, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """The knobs; the same for every chunk of a clip, or its bytes differ after a resume."""

    preset: str = "medium"
    """x264's alone."""
    crf: int = 18
    """Constant quality, 0..51, lower is better; 18 is hard to tell from the source by eye. OpenH264
    has no such mode: there it is the quantiser of every frame (1..51)."""


DEFAULT_SETTINGS = EncodeSettings()


@dataclass(frozen=True, slots=True)
class Segment:
    """One encoded chunk: `init + media` is a whole little film of `frames` frames."""

    init: bytes
    media: bytes
    frames: int


@dataclass(frozen=True, slots=True)
class Take:
    """A finished file, as assembled."""

    path: Path
    frames: int
    size: int
    sha256: str


@functools.cache
def h264_encoder() -> str:
    """The name of the encoder that segments are made with. Raises EncodeError without one."""
    for name in _ENCODERS:
        with suppress(av.codec.codec.UnknownCodecError):
            return str(av.Codec(name, "w").name)
    raise EncodeError(
        f"this machine's FFmpeg has none of {', '.join(_ENCODERS)}: install PyAV's wheel, or build"
        " PyAV against an FFmpeg that has one"
    )


def encoder_id(settings: EncodeSettings = DEFAULT_SETTINGS) -> str:
    """What of the encoder decides the bytes, for the stack id: library versions and settings."""
    encoder = h264_encoder()
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    muxer = ".".join(map(str, av.library_versions["libavformat"]))
    x264 = encoder == "libx264"
    how = f"{settings.preset},crf{settings.crf}" if x264 else f"qp{settings.crf}"
    return f"{encoder},libavcodec-{codec},libavformat-{muxer},{how}"


def track_timescale(rate: Fraction) -> int:
    """Ticks per second of the video track: a frame is a whole number of them at every rate."""
    return rate.numerator * (_TICKS_PER_FRAME if rate.denominator == 1 else 1)


def encode_segment(
    frames: Frames,
    *,
    start_frame: int,
    fps: int | Fraction,
    settings: EncodeSettings = DEFAULT_SETTINGS,
) -> Segment:
    """Encode one chunk, (frames, height, width, 3) RGB, whose first frame is `start_frame`.

    H.264, yuv420p, BT.709 in limited range; one IDR at the start, no B-frames, closed. Raises
    EncodeError for frames that H.264 in 4:2:0 cannot hold.
    """
    rate = Fraction(fps)
    _check(frames, start_frame, rate)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options=_segment_options(start_frame, rate)) as film:
        stream = _add_stream(film, frames, rate, settings)
        for packet in _packets(stream, frames, rate):
            packet.pts += start_frame
            packet.dts += start_frame
            packet.duration = 1
            film.mux_one(packet)
    content = buffer.getvalue()
    split = _offset_of_box(content, b"moof")
    return Segment(content[:split], content[split:], len(frames))


def assemble(
    init: Path, segments: Sequence[Path], destination: Path, *, frames: int, fps: int | Fraction
) -> Take:
    """Remux `segments`, in order, into one progressive MP4 at `destination` (index in front).

    The bytes depend on the segments alone: no dates, no versions. `destination` appears whole or
    not at all. Raises TakeError when the segments are damaged, out of order, or do not hold
    exactly `frames` frames; OSError when the disk is full.
    """
    rate = Fraction(fps)
    with atomic_path(destination) as temporary:
        try:
            seen = _remux([init, *segments], temporary, rate)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):  # the disk's fault, not a segment's
                raise
            raise TakeError(f"a segment of {destination.name} is damaged: {error}") from error
        if seen != frames:
            raise TakeError(
                f"{destination.name}: the segments hold {seen} frames, {frames} were asked for; "
                "the last one is missing or was cut to another length"
            )
    return Take(destination, frames, destination.stat().st_size, sha256_of_file(destination))


class _Joined(io.RawIOBase):
    """Files read one after another as one stream, never more than one of them open."""

    def __init__(self, paths: Iterable[Path]) -> None:
        super().__init__()
        self._paths = iter(paths)
        self._open: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while True:
            if self._open is None:
                path = next(self._paths, None)
                if path is None:
                    return b""
                self._open = path.open("rb")
            if block := self._open.read(size):
                return block
            self._open.close()
            self._open = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()


def _remux(parts: Sequence[Path], destination: Path, rate: Fraction) -> int:
    """Copy the packets of `parts`; return how many there were, each at its own place in time."""
    options = {
        "movflags": "+faststart",
        "fflags": "+bitexact",
        "use_editlist": "0",
        "video_track_timescale": str(track_timescale(rate)),
    }
    seen = 0
    with (
        _Joined(parts) as joined,
        av.open(joined, "r", format="mp4") as source,
        av.open(str(destination), "w", format="mp4", options=options) as film,
    ):
        track = source.streams.video[0]
        stream = film.add_stream_from_template(track, opaque=True)
        for packet in source.demux(track):
            if packet.size == 0:  # the demuxer's end mark
                continue
            if packet.is_corrupt:
                raise TakeError(f"frame {seen} of the take is cut short: its segment is damaged")
            _check_place(packet, seen, rate)
            packet.stream = stream
            film.mux_one(packet)
            seen += 1
    return seen


def _check_place(packet: Any, index: int, rate: Fraction) -> None:
    expected, at = index / rate, packet.dts * packet.time_base
    if at != expected or packet.pts != packet.dts:
        raise TakeError(
            f"frame {index} of the take is stamped {float(at):.3f} s instead of "
            f"{float(expected):.3f} s: a segment is missing, doubled or of another clip"
        )


def _check(frames: Frames, start_frame: int, rate: Fraction) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != "uint8" or not len(frames):
        raise EncodeError(
            f"frames are {frames.dtype} of shape {frames.shape}; "
            "uint8 of shape (frames, height, width, 3) is needed"
        )
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise EncodeError(f"{frames.shape[2]}x{frames.shape[1]}: 4:2:0 needs even sides")
    if rate <= 0 or start_frame < 0:
        raise EncodeError(f"rate {rate} and first frame {start_frame} must not be negative")


def _segment_options(start_frame: int, rate: Fraction) -> dict[str, str]:
    return {
        "movflags": _SEGMENT_FLAGS,
        "fflags": "+bitexact",
        "use_editlist": "0",
        "video_track_timescale": str(track_timescale(rate)),
        "fragment_index": str(start_frame // CHUNK_FRAMES + 1),
    }


def _encoder_options(encoder: str, settings: EncodeSettings) -> dict[str, str]:
    if encoder == "libopenh264":
        # Between equal bounds its rate control has no choice: bytes depend on the frames alone.
        bound = str(max(1, settings.crf))
        return {"profile": "high", "rc_mode": "quality", "qmin": bound, "qmax": bound}
    return {
        "preset": settings.preset,
        "crf": str(settings.crf),
        "sc_threshold": "0",
        # stitchable: no header depends on the pictures, so one init segment fits all chunks
        "x264-params": "stitchable=1",
    }


def _add_stream(film: Any, frames: Frames, rate: Fraction, settings: EncodeSettings) -> Any:
    encoder = h264_encoder()
    stream = film.add_stream(encoder, rate=rate, options=_encoder_options(encoder, settings))
    context = stream.codec_context
    _, context.height, context.width, _ = frames.shape
    context.pix_fmt = "yuv420p"
    context.thread_count = 1  # an encoder's bytes change with its threads
    context.gop_size = CHUNK_FRAMES
    context.max_b_frames = 0
    context.flags |= Flags.closed_gop
    say_bt709(context)
    return stream


def say_bt709(context: Any) -> None:
    """Mark an encoder's stream as what `bt709` makes."""
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.colorspace = Colorspace.ITU709
    context.color_range = ColorRange.MPEG


def bt709(reformatter: Any, picture: Any, pix_fmt: str) -> Any:
    """A picture, (height, width, 3) RGB, in BT.709 and limited range; a frame without a time."""
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(picture, format="rgb24"),
        format=pix_fmt,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_trc=ColorTrc.BT709,
        interpolation=_SCALING,
        threads=1,
    )


def _packets(stream: Any, frames: Frames, rate: Fraction) -> Iterator[Any]:
    reformatter = Reformatter()
    for index, picture in enumerate(frames):
        frame = bt709(reformatter, picture, "yuv420p")
        frame.pts, frame.time_base = index, 1 / rate
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _offset_of_box(content: bytes, kind: bytes) -> int:
    """Where the first top-level MP4 box of `kind` begins (ISO/IEC 14496-12, 4.2)."""
    offset = 0
    while offset < len(content):
        if content[offset + 4 : offset + 8] == kind:
            return offset
        offset += int.from_bytes(content[offset : offset + 4], "big")
    raise EncodeError(f"the encoder wrote no {kind.decode()} box")


def sha256_hex(content: bytes) -> str:
    """SHA-256 of bytes, in hex: the digest that a file's record carries."""
    return hashlib.sha256(content).hexdigest()
