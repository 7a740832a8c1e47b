"""Films read and written by PyAV: pictures by FFmpeg's filters, encodings by name.

Takes are BT.709 in limited range and say so; whatever is made of them is the same, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from farm.media.errors import BadDelivery
from farm.media.files import appearing
from heliostat.threads import ordinary_threads

# SVT-AV1 writes to stderr past every logger: let it tell of errors alone.
os.environ.setdefault("SVT_LOG", "1")

Filter = tuple[str, str]
"""A filter of FFmpeg's and its arguments."""

RGB: Final[Filter] = ("format", "rgb24")
_LOSSLESS: Final = "ffv1"
_BT709: Final = "in_color_matrix=bt709:out_color_matrix=bt709"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a film is encoded."""

    library: str
    pix_fmt: str
    ending: str
    crf: int | None = None
    """Constant quality unless told otherwise; None for encodings that have none."""
    crf_max: int = 51
    options: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    """The four letters that players look for."""


ENCODINGS: Final = {
    "h264": Encoding(
        library="libx264",
        pix_fmt="yuv420p",
        ending=".mp4",
        crf=18,
        options={"preset": "medium"},
    ),
    "h265": Encoding(
        library="libx265",
        pix_fmt="yuv420p10le",
        ending=".mp4",
        crf=20,
        options={"preset": "medium", "x265-params": "log-level=error"},
        tag="hvc1",
    ),
    "av1": Encoding(
        library="libsvtav1",
        pix_fmt="yuv420p10le",
        ending=".mp4",
        crf=24,
        crf_max=63,
        options={"preset": "6"},
    ),
    "prores": Encoding(
        library="prores_ks",
        pix_fmt="yuv422p10le",
        ending=".mov",
        options={"profile": "hq", "vendor": "apl0"},
    ),
}
"""Without PNG, which is no film. ProRes is 422 HQ."""


def is_lossless(path: Path) -> bool:
    """A film that `farm-node redecode` made of negatives without loss."""
    with av.open(str(path)) as film:
        return bool(film.streams.video[0].codec_context.name == _LOSSLESS)


def frames_of(path: Path, chain: Sequence[Filter]) -> Iterator[Any]:
    """The frames of a film after some filters. Raises `BadDelivery` when it cannot be decoded."""
    try:
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            graph = _graph(stream, chain)
            for frame in film.decode(stream):
                graph.push(frame)
                yield from _pulled(graph)
            graph.push(None)
            yield from _pulled(graph)
    except (av.error.FFmpegError, IndexError) as error:
        raise BadDelivery(f"{path}: it does not play ({error}); fetch it again") from error


def picture_at(path: Path, index: int, size: tuple[int, int]) -> Image.Image:
    """One frame, scaled to (width, height). Raises `BadDelivery` where it is not there."""
    try:
        with av.open(str(path)) as film:
            stream: Any = film.streams.video[0]
            rate, base = stream.average_rate, stream.time_base
            film.seek(round(index / rate / base), stream=stream)
            graph = _graph(stream, [scaled(*size), RGB])
            for frame in film.decode(stream):
                if round(frame.pts * base * rate) >= index:
                    graph.push(frame)
                    found: Image.Image = graph.pull().to_image()
                    return found
    except (av.error.FFmpegError, IndexError) as error:
        raise BadDelivery(f"{path}: it does not play ({error}); fetch it again") from error
    raise BadDelivery(f"{path}: ends before frame {index}; fetch it again")


def scaled(width: int, height: int, *, fit: str = "") -> Filter:
    """Scaling to exactly this size, or (`increase`, `decrease`) around or into it."""
    keep = f":force_original_aspect_ratio={fit}" if fit else ""
    return "scale", f"{width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int:{_BT709}{keep}"


def write_film(
    frames: Iterable[Any],
    path: Path,
    encoding: Encoding,
    rate: Fraction,
    *,
    crf: int | None = None,
    timecode: str = "",
) -> int:
    """Encode frames at a rate, whatever their times were; returns how many there were.

    `timecode` is the first frame's. The file appears whole or not at all. Raises OSError.
    """
    options = dict(encoding.options)
    if encoding.crf is not None:
        options["crf"] = str(encoding.crf if crf is None else crf)
    count = 0
    with (
        appearing(path) as part,
        av.open(str(part), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as film,
    ):
        stream: Any = film.add_stream(encoding.library, rate=rate, options=options)
        if timecode:
            stream.metadata["timecode"] = timecode
        for frame in frames:
            if not count:
                _describe(stream.codec_context, frame, encoding)
                with ordinary_threads():
                    film.start_encoding()
            frame.pts, frame.time_base = count, 1 / rate
            film.mux(stream.encode(_said_bt709(frame)))
            count += 1
        if not count:
            raise BadDelivery(f"{path}: there is no frame to write")
        film.mux(stream.encode(None))
    return count


def _describe(context: Any, frame: Any, encoding: Encoding) -> None:
    context.width, context.height, context.pix_fmt = frame.width, frame.height, encoding.pix_fmt
    if encoding.tag is not None:
        context.codec_tag = encoding.tag
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.colorspace = Colorspace.ITU709
    context.color_range = ColorRange.MPEG


def _said_bt709(frame: Any) -> Any:
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    frame.pict_type = 0
    return frame


def encodable(picture: Image.Image, encoding: Encoding) -> Any:
    """A drawn picture as a frame for an encoder."""
    frame: Any = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
    return frame.reformat(
        format=encoding.pix_fmt,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        src_color_range=ColorRange.JPEG,
    )


def _graph(stream: Any, chain: Sequence[Filter]) -> Any:
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(template=stream)]
    if "rgb" not in (pix_fmt := stream.codec_context.pix_fmt) and "bgr" not in pix_fmt:
        chain = [("setparams", "colorspace=bt709:range=limited"), *chain]
    nodes += [graph.add(name, arguments) for name, arguments in chain]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
