"""Sizes of memory, as people write them, and the options of whatever renders on this machine."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(GiB|GB|G|MiB|MB|M)?", re.IGNORECASE)
_UNITS: Final = {
    "": 1, "g": 10**9, "gb": 10**9, "gib": 2**30, "m": 10**6, "mb": 10**6, "mib": 2**20,
}  # fmt: skip


def memory_size(text: str) -> int:
    """`8G` (as cards are sold: 10^9 bytes), `8GiB`, `8000M` or plain bytes. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[(found[2] or "").lower()]) if found else 0
    if not size:
        raise ValueError(f"{text!r} is no size of memory: write 8G, 8GiB or 8000M")
    return size


def memory_words(vram: int | None, ram: int | None, *, pageable: bool) -> list[str]:
    """What may be taken, as words of a command line; bytes, None and False are left out."""
    sizes = (("--vram", vram), ("--ram", ram))
    words = [word for flag, size in sizes if size is not None for word in (flag, str(size))]
    return [*words, "--pageable"] if pageable else words


def compile_words(compiled: bool | None) -> list[str]:
    """Whether blocks are compiled, as words of a command line; None, the device's own, is none."""
    return [] if compiled is None else ["--compile" if compiled else "--no-compile"]
