"""What has run out: leases whose card was not heard of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Expiring(Protocol):
    """Anything with an end."""

    @property
    def expires(self) -> float:
        """Monotonic seconds."""
        ...


T = TypeVar("T", bound=Expiring)


def expired(leases: Iterable[tuple[str, T]], now: float) -> list[tuple[str, T]]:
    """The (clip id, lease) pairs that ended at or before `now`."""
    return [(clip_id, lease) for clip_id, lease in leases if lease.expires <= now]
