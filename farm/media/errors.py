"""What can stand in a delivery's way, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from farm.domain.errors import FarmError

_LIBRARIES: Final = frozenset({"PIL", "av", "numpy", "opentimelineio"})


class BadDelivery(FarmError):
    """Such a thing cannot be made of these takes; the text says why."""

    reason = "BAD_DELIVERY"


class MissingExtra(FarmError):
    """A library that pictures, films and timelines need is not installed."""

    reason = "MISSING_EXTRA"


@contextmanager
def extra() -> Iterator[None]:
    """Inside, a library that is not there raises `MissingExtra` instead of ImportError."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _LIBRARIES:
            raise
        raise MissingExtra(
            f"{library} is not installed: `pip install heliostat[delivery]` brings what pictures,"
            " films and timelines need"
        ) from error
