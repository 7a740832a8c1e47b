"""What can go wrong with a folder of takes."""

from __future__ import annotations

from farm.domain.errors import FarmError


class FetchFailed(FarmError):
    """A file could not be had whole, or the folder cannot take it."""

    reason = "FETCH_FAILED"
