"""Review copies: a slate in front, then the take with name, seed, frame and timecode burnt in.

The copy is an H.264 film of its own, 720 lines high so that the writing can be read; the take is
only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw

from farm.media.errors import BadDelivery
from farm.media.films import ENCODINGS, RGB, encodable, frames_of, scaled, write_film
from farm.media.takes import Take
from farm.media.text import boxed, font_of, wrapped
from farm.media.times import frames_at, timecode_at

LINES: Final = 720
FOLDER: Final = "review"
_BACKGROUND, _INK, _FAINT = (24, 24, 28), (235, 235, 235), (160, 160, 165)
_MARGIN: Final = 24


def review_path(take: Take) -> Path:
    """Where a take's review copy goes: into the folder `review` beside it."""
    return take.path.parent / FOLDER / f"{take.path.stem}_review.mp4"


def review_copy(
    take: Take,
    path: Path,
    *,
    slate_frames: int,
    start_timecode: str = "01:00:00:00",
    font: Path | None = None,
) -> int:
    """Write it; returns its frames, the slate's counted in. Raises `BadDelivery`, OSError.

    `start_timecode` is the take's first frame's; the slate comes before it.
    """
    rate = Fraction(take.fps)
    start = frames_at(start_timecode, rate)
    size = (round(take.width * LINES / take.height / 2) * 2, LINES)
    pictures = _pictures(take, size, slate_frames, start, font)
    frames = (encodable(picture, ENCODINGS["h264"]) for picture in pictures)
    first = timecode_at(start - slate_frames, rate)
    count = write_film(frames, path, ENCODINGS["h264"], rate, timecode=first)
    if count != slate_frames + take.frames:
        path.unlink()
        raise BadDelivery(
            f"{take.path} holds {count - slate_frames} of {take.frames} frames: fetch it again"
        )
    return count


def _pictures(
    take: Take, size: tuple[int, int], slate_frames: int, start: int, font: Path | None
) -> Iterator[Image.Image]:
    slate = draw_slate(take, size, timecode_at(start, Fraction(take.fps)), font)
    for _ in range(slate_frames):
        yield slate
    for number, frame in enumerate(frames_of(take.path, [scaled(*size), RGB])):
        yield _burnt_in(frame, take, number, start, font)


def draw_slate(
    take: Take, size: tuple[int, int], timecode: str, font: Path | None = None
) -> Image.Image:
    """The slate's picture."""
    slate = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(slate)
    large, small, room = font_of(48, font), font_of(24, font), size[0] - 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN), wrapped(take.name, large, room, 1)[0], _INK, font=large)
    seconds = take.frames / take.fps
    facts = (
        ("project", take.project or "-"),
        ("version", f"v{take.version:03}"),
        ("batch", take.batch),
        ("seed", str(take.seed)),
        ("length", f"{take.frames} frames, {seconds:.2f} s at {take.fps} fps, from {timecode}"),
        ("size", f"{take.width}x{take.height}"),
        ("model", take.model[:16] or "-"),
        ("date", take.date),
        ("review", take.verdict or "-"),
    )
    y = _MARGIN + 80
    for name, text in facts:
        draw.text((_MARGIN, y), name, _FAINT, font=small)
        for line in wrapped(text, small, room - 140, 1):
            draw.text((_MARGIN + 140, y), line, _INK, font=small)
        y += 36
    for line in wrapped(take.prompt, small, room, (size[1] - y - 2 * _MARGIN) // 32):
        draw.text((_MARGIN, y + 16), line, _FAINT, font=small)
        y += 32
    return slate


def _burnt_in(frame: Any, take: Take, number: int, start: int, font: Path | None) -> Image.Image:
    picture: Image.Image = frame.to_image()
    draw, small = ImageDraw.Draw(picture, "RGBA"), font_of(24, font)
    right, bottom = picture.width - _MARGIN, picture.height - _MARGIN
    timecode = timecode_at(start + number, Fraction(take.fps))
    label = wrapped(take.label, small, picture.width * 0.6, 1)[0]
    boxed(draw, (_MARGIN, _MARGIN), label, small, anchor="lt")
    boxed(draw, (right, _MARGIN), f"seed {take.seed}", small, anchor="rt")
    boxed(draw, (_MARGIN, bottom), f"{number + 1} / {take.frames}", small, anchor="lb")
    boxed(draw, (right, bottom), timecode, small, anchor="rb")
    return picture
