"""What is written into pictures: the font, and text cut to the room that there is.

Pillow's own font has ASCII alone: accents are left out, and whatever it has no picture for shows
as a box. `unwritable` tells, and a font file of the user's brings other scripts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from PIL import ImageDraw, ImageFont

from farm.media.errors import BadDelivery

_OWN: Final = "Aileron"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_of(size: int, file: Path | None = None) -> Font:
    """The font at a height in pixels. Raises `BadDelivery` for a file that is none."""
    if file is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(str(file), size)
    except OSError as error:
        raise BadDelivery(f"{file}: {error}; name a .ttf or .otf file") from None


def unwritable(texts: Iterable[str], file: Path | None = None) -> str:
    """The characters of `texts` that the font has no picture for, each once, in order."""
    font = font_of(16, file)
    box = bytes(font.getmask("\U0010ffff"))
    plain = "".join(text if file else _unaccented(text) for text in texts)
    letters = sorted({c for c in plain if not c.isascii() and not c.isspace()})
    return "".join(c for c in letters if bytes(font.getmask(c)) == box)


def fitting(text: str, font: Font, width: float) -> str:
    """As much of a text as fits on a line of `width` pixels."""
    text = " ".join(text.split())
    if not isinstance(font, ImageFont.FreeTypeFont) or font.getname()[0] == _OWN:
        text = _unaccented(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def wrapped(text: str, font: Font, width: float, lines: int) -> list[str]:
    """A text on at most `lines` lines of `width` pixels; the last one is cut to fit."""
    words, found = text.split(), list[str]()
    while words and len(found) < lines - 1:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width:
            taken += 1
        found.append(fitting(" ".join(words[:taken]), font, width))
        words = words[taken:]
    return [*found, fitting(" ".join(words), font, width)] if words else found


def _unaccented(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def boxed(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: Font, *, anchor: str
) -> None:
    """White text on a dark box, readable over any picture; `anchor` as Pillow names them."""
    left, top, right, bottom = draw.textbbox(at, text, font=font, anchor=anchor)
    draw.rectangle((left - 6, top - 4, right + 6, bottom + 4), (0, 0, 0, 150))
    draw.text(at, text, (255, 255, 255, 255), font=font, anchor=anchor)
