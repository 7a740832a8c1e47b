"""What was promised by the next morning, and what has become of it, project by project. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from heliostat.v1 import types_pb2 as types

HOUR: Final = 9
"""When people come in."""


@dataclass(slots=True)
class Line:
    """A project's clips, of batches that are open or ended since the last morning."""

    project: str
    promised: int = 0
    """To be there by the next morning, by what was quoted when their batches were submitted."""
    delivered: int = 0
    failed: int = 0
    to_review: int = 0
    """Takes that nobody has approved or rejected, and first looks that wait."""
    open: int = 0

    @property
    def behind(self) -> int:
        """Promised clips that are not there, and that nothing open is left to become."""
        return max(0, self.promised - self.delivered - self.open)


def next_morning(now: datetime) -> datetime:
    """The next time that people come in, on the clock of `now`."""
    today = now.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return today if now < today else today + timedelta(days=1)


def lines(batches: Iterable[types.Batch], morning: datetime) -> list[Line]:
    """One for each project, by name, and a last one for all where there are several."""
    found: dict[str, Line] = {}
    for batch in batches:
        line = found.setdefault(batch.project, Line(batch.project))
        clips = batch.clips
        line.promised += promised_by(batch, morning)
        line.delivered += clips.done
        line.failed += clips.failed
        line.to_review += batch.reviews.awaiting + clips.held
        line.open += clips.waiting + clips.queued + clips.leased + clips.held
    listed = [found[name] for name in sorted(found)]
    if len(listed) > 1:
        names = ("promised", "delivered", "failed", "to_review", "open")
        sums = {name: sum(getattr(line, name) for line in listed) for name in names}
        listed.append(Line("all", **sums))
    return listed


def promised_by(batch: types.Batch, morning: datetime) -> int:
    """Clips of a batch that were to be there by then.

    All of them where its quoted end lies before; else as many as the time since the quote is of
    the whole quoted time. A batch without a quote promised nothing.
    """
    if not batch.HasField("promise"):
        return 0
    quote = batch.promise
    begun, end = (stamp.ToMicroseconds() / 1e6 for stamp in (quote.quoted_at, quote.finish_at))
    if end <= begun:
        return int(quote.clips)
    share = (morning.timestamp() - begun) / (end - begun)
    return round(quote.clips * min(max(share, 0.0), 1.0))
