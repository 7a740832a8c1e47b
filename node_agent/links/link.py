"""What an agent needs of a link: serialized exchanges there and back."""

from __future__ import annotations

from typing import Protocol


class LinkDown(Exception):
    """The farm could not be reached, or is starting anew: say the same again in a moment."""


class Link(Protocol):
    """A way to the farm."""

    async def exchange(self, request: bytes) -> bytes:
        """Send an ExchangeRequest, get its ExchangeResponse. Raises `LinkDown`."""
        ...
