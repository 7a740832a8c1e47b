"""Two clips beside each other and what differs between them, with their names above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from node_agent.render.renderer import Frames

AMPLIFIED = 8
"""Times the absolute difference, cut at white: a level of 32 and more is white."""


def side_by_side(one: Frames, other: Frames, names: tuple[str, str]) -> Frames:
    """Frames (frames, height, width, 3) RGB → first, second and amplified difference in a row,
    below a line of words; (frames, height + words, 3 width, 3)."""
    number, height, width, _ = one.shape
    head = _words((*names, f"difference x{AMPLIFIED}"), width, max(16, height // 16 // 2 * 2))
    row: Frames = np.empty((number, len(head) + height, 3 * width, 3), np.uint8)
    row[:, : len(head)] = head
    for frame, left, right in zip(row, one, other, strict=True):
        difference = np.maximum(left, right) - np.minimum(left, right)
        amplified = np.minimum(difference.astype(np.uint16) * AMPLIFIED, 255)
        frame[len(head) :] = np.concatenate((left, right, amplified), axis=1)
    return row


def _words(words: Sequence[str], width: int, height: int) -> Frames:
    """White words on black, each at the beginning of a column of this width."""
    picture = Image.new("RGB", (width * len(words), height))
    font = ImageFont.load_default(size=height * 0.7)
    for number, word in enumerate(words):
        column = Image.new("RGB", (width, height))
        ImageDraw.Draw(column).text((height // 4, height // 2), word, font=font, anchor="lm")
        picture.paste(column, (number * width, 0))
    return np.asarray(picture)
