"""What projects are charged with of the cards' time, by which they take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.domain.clip import Clip
from farm.plan.board import Lease
from farm.plan.share import charged

if TYPE_CHECKING:
    from farm.coordinator.books import Books


def charge(books: Books, clip: Clip, units: float) -> None:
    """Charge a clip's project with some cost."""
    batch = books.clips.batch(clip.batch_id)
    if batch is not None and units:
        project = books.clips.project_of(batch)
        half_life = books.policy.share_half_life_seconds
        books.clips.projects[project.name] = charged(project, units, books.clock.now(), half_life)


def refund(books: Books, after: Clip, lease: Lease | None) -> None:
    """What was charged at the lease and not rendered."""
    if lease is not None and lease.charged:
        charge(books, after, -min(lease.charged, books.clips.units_of(after)))
