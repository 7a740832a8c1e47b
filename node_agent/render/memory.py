"""Give freed memory back to the system after each chunk.

A chunk's buffers are many megabytes and live briefly. glibc keeps some of them when they are freed,
others not, so a process's size wanders by tens of megabytes without anything growing; a host with
little memory to spare should not have to guess.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable


def _trimmer() -> Callable[[int], int] | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    return trim


_TRIM = _trimmer()


def release_free_memory() -> None:
    """Return freed heap pages to the system, where the C library can; takes about 2 ms."""
    if _TRIM is not None:
        _TRIM(0)
