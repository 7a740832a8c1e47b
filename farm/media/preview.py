"""Small moving pictures, WebP or GIF: one of each take, or a contact sheet that moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from PIL import Image

from farm.media.errors import BadDelivery
from farm.media.files import appearing
from farm.media.films import RGB, frames_of, scaled
from farm.media.sheet import Look, draw_sheet, height_of
from farm.media.takes import Take

ENDINGS: Final = (".webp", ".gif")
_SHEET_FRAMES_MAX: Final = 240
"""Of a sheet, which is drawn whole for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How a preview moves."""

    fps: int = 12
    """Pictures per second; the take's own speed is kept."""
    seconds: float | None = None
    """Not more than so long; None is the whole take."""
    quality: int = 70
    """Of WebP, 0..100."""


def preview(take: Take, path: Path, width: int, motion: Motion) -> None:
    """One take. Raises `BadDelivery`, OSError."""
    _save(_pictures(take, width, motion), path, motion)


def moving_sheet(takes: Sequence[Take], path: Path, look: Look, motion: Motion) -> None:
    """All takes on a sheet, each on its last picture once it has ended."""
    _save(_sheets(takes, look, motion), path, motion)


def _sheets(takes: Sequence[Take], look: Look, motion: Motion) -> Iterator[Image.Image]:
    running = {take.path: _pictures(take, look.width, motion) for take in takes}
    now: dict[Path, Image.Image] = {}

    def shown(take: Take) -> Image.Image:
        return now[take.path]

    for _ in range(_SHEET_FRAMES_MAX):
        new = {path: one for path, each in running.items() if (one := next(each, None))}
        if not new:
            return
        now.update(new)
        yield draw_sheet(takes, look, shown)


def _pictures(take: Take, width: int, motion: Motion) -> Iterator[Image.Image]:
    chain = [("fps", f"{motion.fps}:round=near"), scaled(width, height_of(take, width)), RGB]
    shown = (frame.to_image() for frame in frames_of(take.path, chain))
    count = None if motion.seconds is None else max(1, round(motion.seconds * motion.fps))
    return islice(shown, count)


def _save(pictures: Iterator[Image.Image], path: Path, motion: Motion) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise BadDelivery(f"{path}: a preview's name ends in {' or '.join(ENDINGS)}")
    first = next(pictures)
    with appearing(path) as part:
        first.save(
            part,
            save_all=True,
            append_images=pictures,
            duration=round(1000 / motion.fps),
            loop=0,
            quality=motion.quality,
            method=4,
        )
