"""Small pictures of takes as text that a page holds: `data:` URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Final

from farm.media.errors import BadDelivery
from farm.media.sheet import middle
from farm.media.takes import Take

WIDTH: Final = 224
QUALITY: Final = 74


def picture_uri(take: Take, width: int = WIDTH, quality: int = QUALITY) -> str:
    """The frame in the middle as JPEG. Raises `BadDelivery`."""
    buffer = io.BytesIO()
    middle(take, width).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def pictures_of(takes: Iterable[Take]) -> dict[str, str]:
    """Clip id → its picture; a take that does not play has none."""
    found: dict[str, str] = {}
    for take in takes:
        try:
            found[take.clip_id] = picture_uri(take)
        except BadDelivery:
            continue
    return found
