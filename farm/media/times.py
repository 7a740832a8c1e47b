"""Frame rates and timecodes, as they are written and as they are counted."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from farm.media.errors import BadDelivery

RATE_MAX: Final = 240
_NTSC: Final = {"23.976": 24, "23.98": 24, "29.97": 30, "47.952": 48, "59.94": 60, "119.88": 120}


def rate_of(text: str) -> Fraction:
    """`25`, `24000/1001`, `23.976` as a rate. Raises `BadDelivery`."""
    try:
        rate = Fraction(_NTSC[text] * 1000, 1001) if text in _NTSC else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise BadDelivery(f"{text!r} is no frame rate: write 25, 23.976 or 24000/1001") from None
    if not 1 <= rate <= RATE_MAX:
        raise BadDelivery(f"{text} frames per second: 1 to {RATE_MAX} can be had")
    return rate


def counted(rate: Fraction) -> int:
    """Frames that a second of timecode counts: 24 at 23.976."""
    return round(rate)


def frames_at(timecode: str, rate: Fraction) -> int:
    """Frames from 00:00:00:00 to a timecode. Raises `BadDelivery`; drop frames are refused."""
    base = counted(rate)
    if ";" in timecode:
        raise BadDelivery(f"{timecode}: drop-frame timecode is not written; use 01:00:00:00")
    try:
        hours, minutes, seconds, frames = map(int, timecode.split(":"))
    except ValueError:
        raise BadDelivery(f"{timecode!r} is no timecode: write HH:MM:SS:FF") from None
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60 and 0 <= frames < base):
        raise BadDelivery(f"{timecode}: at {float(rate):g} fps, up to 23:59:59:{base - 1:02}")
    return ((hours * 60 + minutes) * 60 + seconds) * base + frames


def timecode_at(frames: int, rate: Fraction) -> str:
    """The timecode of a frame, non-drop; midnight is passed in either direction."""
    base = counted(rate)
    seconds, frame = divmod(frames % (24 * 3600 * base), base)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frame:02}"
