"""Contact sheets: the middle frame of every take with what is said of it, wedges as grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from farm.media.errors import BadDelivery
from farm.media.films import picture_at
from farm.media.takes import Take
from farm.media.text import Font, fitting, font_of
from farm.media.wedges import Grid, grids

MARGIN: Final = 12
BACKGROUND, INK, FAINT = (24, 24, 28), (235, 235, 235), (160, 160, 165)
LABELS: Final = ("shot,version", "prompt")
"""Lines below a picture unless told otherwise."""

_LARGE, _SMALL, _LINE = 15, 12, 20
_PIXELS_MAX: Final = 400_000_000
"""Of a sheet; more is no picture that anything opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a sheet looks like."""

    columns: int = 4
    width: int = 240
    """Pixels of a picture."""
    labels: tuple[str, ...] = LABELS
    """A line each: words of ours (shot, version, seed, prompt, …) or columns, apart by commas."""
    font: Path | None = None
    """A font file instead of Pillow's own."""


PLAIN: Final = Look()


def height_of(take: Take, width: int) -> int:
    """Pixels of a take's picture at a width, an even number."""
    return max(2, round(take.height * width / take.width / 2) * 2)


def middle(take: Take, width: int) -> Image.Image:
    """The frame in the middle. Raises `BadDelivery` when the take holds too few."""
    return picture_at(take.path, take.frames // 2, (width, height_of(take, width)))


def lines_of(take: Take, labels: Sequence[str]) -> list[str]:
    """What is written below a take's picture."""
    return ["  ".join(filter(None, map(take.value, line.split(",")))) for line in labels]


def contact_sheet(takes: Sequence[Take], path: Path, look: Look = PLAIN) -> None:
    """Draw the sheet into an image file, of a kind that its ending says."""
    draw_sheet(takes, look, lambda take: middle(take, look.width)).save(path)


def draw_sheet(
    takes: Sequence[Take], look: Look, picture: Callable[[Take], Image.Image]
) -> Image.Image:
    """The sheet with any picture of each take. Raises `BadDelivery` without takes."""
    if not takes:
        raise BadDelivery("there are no takes to show")
    laid = grids(takes, look.columns)
    cell = max(height_of(take, look.width) for take in takes) + 5 + _LINE * len(look.labels)
    heights = [_height(grid, cell) for grid in laid]
    width = MARGIN + max(_width(grid, look.width) for grid in laid)
    if width * (MARGIN + sum(heights)) > _PIXELS_MAX:
        raise BadDelivery(
            f"{len(takes)} takes make a sheet of {width}x{MARGIN + sum(heights)} pixels: choose a"
            " smaller --width, or fewer takes"
        )
    sheet = Image.new("RGB", (width, MARGIN + sum(heights)), BACKGROUND)
    top = MARGIN
    for grid, height in zip(laid, heights, strict=True):
        _draw_grid(sheet, grid, look, top, cell, picture)
        top += height
    return sheet


def _left(grid: Grid, width: int) -> int:
    """Where the first picture of a row begins: after the row's label, if it has one."""
    return MARGIN + (width // 2 + MARGIN if any(grid.down) else 0)


def _width(grid: Grid, width: int) -> int:
    return _left(grid, width) - MARGIN + len(grid.cells[0]) * (width + MARGIN)


def _height(grid: Grid, cell: int) -> int:
    return _header(grid) + len(grid.cells) * (cell + MARGIN)


def _header(grid: Grid) -> int:
    return (_LINE + 4) * (bool(grid.title) + bool(grid.across))


def _draw_grid(
    sheet: Image.Image,
    grid: Grid,
    look: Look,
    top: int,
    cell: int,
    picture: Callable[[Take], Image.Image],
) -> None:
    draw = ImageDraw.Draw(sheet)
    large, small = font_of(_LARGE, look.font), font_of(_SMALL, look.font)
    left, step = _left(grid, look.width), look.width + MARGIN
    if grid.title:
        title = fitting(grid.title, large, sheet.width - 2 * MARGIN)
        draw.text((MARGIN, top), title, INK, font=large)
    y = top + _header(grid)
    for column, label in enumerate(grid.across):
        text = fitting(label, large, look.width)
        draw.text((left + column * step, y - _LINE - 2), text, INK, font=large)
    for label, row in zip(grid.down, grid.cells, strict=True):
        for index, word in enumerate(label.split()):
            text = fitting(word, large, look.width // 2)
            draw.text((MARGIN, y + index * _LINE), text, INK, font=large)
        for column, take in enumerate(row):
            if take is not None:
                x, shown = left + column * step, picture(take)
                sheet.paste(shown, (x, y))
                below = (x, y + shown.height + 5)
                _write(draw, take, look, below, (large, small))
        y += cell + MARGIN


def _write(
    draw: ImageDraw.ImageDraw, take: Take, look: Look, at: tuple[int, int], fonts: tuple[Font, Font]
) -> None:
    for index, text in enumerate(lines_of(take, look.labels)):
        font, colour = (fonts[0], INK) if index == 0 else (fonts[1], FAINT)
        line = fitting(text, font, look.width)
        draw.text((at[0], at[1] + index * _LINE), line, colour, font=font)
