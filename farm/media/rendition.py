"""Renditions: a take in another encoding, size, rate, for an edit suite or a platform.

Made of the take's lossless master where one lies beside it (`NAME.mkv`, as `farm-node redecode`
decodes it from the negatives), which is the first generation; else of the take itself, which is
H.264 already and makes a second one. The take is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from farm.media.errors import BadDelivery
from farm.media.files import appearing
from farm.media.films import (
    ENCODINGS,
    RGB,
    Filter,
    frames_of,
    is_lossless,
    scaled,
    write_film,
)
from farm.media.takes import Take
from farm.media.times import frames_at, rate_of, timecode_at

_SIDE_MAX: Final = 8192
FIRST_FRAME: Final = 1001
"""Of a picture sequence, as visual effects count."""


class Codec(StrEnum):
    """What a rendition can be."""

    PRORES = "prores"
    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    PNG = "png"


class Fit(StrEnum):
    """How a picture comes to another shape."""

    CROP = "crop"
    PAD = "pad"


class Retime(StrEnum):
    """How a film comes to another rate."""

    CONFORM = "conform"
    """The same frames, played faster or slower."""
    NEAREST = "nearest"
    """The same speed; frames are left out or shown twice."""
    BLEND = "blend"
    """The same speed; frames are mixed of their neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is asked of a rendition; None leaves it as the take has it."""

    codec: Codec
    size: tuple[int, int] | None = None
    fit: Fit = Fit.CROP
    fps: Fraction | None = None
    retime: Retime = Retime.CONFORM
    crf: int | None = None
    handles: int = 0
    """Frames at either end that are no part of the shot: the start timecode is the first frame's
    after them."""
    start_timecode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A rendition."""

    path: Path
    """A film, or the folder of a picture sequence."""
    frames: int
    fps: Fraction
    size: tuple[int, int]
    lossless_source: bool
    """Made of a master from the negatives."""
    start_timecode: str
    """Of the first frame, handles counted in; empty where none is written."""


def asked(
    codec: Codec,
    *,
    size: str = "",
    fit: Fit = Fit.CROP,
    fps: str = "",
    retime: Retime = Retime.CONFORM,
    crf: int | None = None,
    handles: int = 0,
    start_timecode: str = "",
) -> How:
    """Options as text, checked. Raises `BadDelivery`."""
    encoding = ENCODINGS.get(codec)
    if crf is not None and (encoding is None or encoding.crf is None):
        raise BadDelivery(f"--crf: {codec} has no such number; leave it out")
    if crf is not None and encoding is not None and not 0 <= crf <= encoding.crf_max:
        raise BadDelivery(f"--crf {crf}: {codec} takes 0 to {encoding.crf_max}")
    if start_timecode and encoding is None:
        raise BadDelivery(f"--start-timecode: {codec} files hold none; leave it out")
    return How(
        codec=codec,
        size=_size(size) if size else None,
        fit=fit,
        fps=rate_of(fps) if fps else None,
        retime=retime,
        crf=crf,
        handles=handles,
        start_timecode=start_timecode,
    )


def master_of(take: Take) -> Path:
    """Where a take's lossless master would lie."""
    return take.path.with_suffix(".mkv")


def target_of(take: Take, folder: Path, out: Path, codec: Codec) -> Path:
    """Where a take's rendition goes: below `out` as the take lies below `folder`."""
    place = out / take.path.relative_to(folder).with_suffix("")
    encoding = ENCODINGS.get(codec)
    return place.with_name(place.name + encoding.ending) if encoding else place


def rendition(take: Take, target: Path, how: How, source: Path | None = None) -> Made:
    """Make it of `source`, a lossless master, or of what lies beside the take, or of the take.

    Raises `BadDelivery`, OSError.
    """
    if target.resolve() == take.path.resolve():
        raise BadDelivery(f"{target} is the take itself: choose another --out")
    if 2 * how.handles >= take.frames:
        raise BadDelivery(
            f"--handles {how.handles}: {take.label} has {take.frames} frames, nothing is left"
        )
    master = source or master_of(take)
    lossless = master.is_file() and is_lossless(master)
    film = master if lossless else take.path
    rate = how.fps or Fraction(take.fps)
    size = how.size or (take.width, take.height)
    frames = _counted(take, frames_of(film, _chain(take, how)), how, film)
    encoding = ENCODINGS.get(how.codec)
    start = ""
    if encoding is None:
        count = _sequence(frames, target)
    else:
        if how.start_timecode:
            start = timecode_at(frames_at(how.start_timecode, rate) - how.handles, rate)
        count = write_film(frames, target, encoding, rate, crf=how.crf, timecode=start)
    return Made(
        path=target,
        frames=count,
        fps=rate,
        size=size,
        lossless_source=lossless,
        start_timecode=start,
    )


def _counted(take: Take, frames: Iterator[Any], how: How, film: Path) -> Iterator[Any]:
    """The frames, where they are as many as the take has. Raises `BadDelivery` at their end."""
    count = 0
    for frame in frames:
        yield frame
        count += 1
    resampled = how.fps is not None and how.retime is not Retime.CONFORM
    if not resampled and count != take.frames:
        raise BadDelivery(f"{film} holds {count} of {take.frames} frames: fetch or decode it again")


def _chain(take: Take, how: How) -> list[Filter]:
    """The filters from a take, or its master, to what is encoded."""
    encoding = ENCODINGS.get(how.codec)
    chain: list[Filter] = []
    if how.fps is not None and how.retime is Retime.NEAREST:
        chain.append(("fps", f"{how.fps}:round=near"))
    if how.fps is not None and how.retime is Retime.BLEND:
        chain += [scaled(take.width, take.height), ("format", "yuv444p10le|yuv420p")]
        chain.append(("framerate", f"fps={how.fps}"))
    width, height = how.size or (take.width, take.height)
    if how.fit is Fit.CROP:
        chain += [scaled(width, height, fit="increase"), ("crop", f"{width}:{height}")]
    else:
        inside = scaled(width, height, fit="decrease")
        chain += [inside, ("pad", f"{width}:{height}:-1:-1:black")]
    return [*chain, ("setsar", "1"), ("format", encoding.pix_fmt) if encoding else RGB]


def _sequence(frames: Iterator[Any], folder: Path) -> int:
    """PNG pictures, 8 bits of sRGB, into a folder that is not there yet."""
    if folder.exists():
        raise BadDelivery(f"{folder} is there: remove it, or choose another --out")
    count = 0
    with appearing(folder) as part:
        part.mkdir()
        for number, frame in enumerate(frames, FIRST_FRAME):
            frame.to_image().save(part / f"{folder.name}.{number:04}.png", compress_level=3)
            count += 1
    return count


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise BadDelivery(f"--size {text}: write it as 1920x1080") from None
    if not (16 <= width <= _SIDE_MAX and 16 <= height <= _SIDE_MAX) or width % 2 or height % 2:
        raise BadDelivery(f"--size {text}: even sides of 16 to {_SIDE_MAX} can be had")
    return width, height
