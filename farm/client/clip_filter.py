"""Which of a batch's clips a listing or a fetch is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

AT_ONCE: Final = 1000
"""Clips that one listing may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFilter:
    """Clips that fit all of it; what is empty asks nothing."""

    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column → values, of which it has one; in any case, `*` stands for anything."""
    verdicts: Sequence[types.Review.Verdict.ValueType] = ()
    """What was said of their takes; UNSPECIFIED is a take that nobody has reviewed yet."""
    latest: bool = False
    """Only the highest version of each name."""
    clips: Sequence[str] = ()
    """Names (every version) or ids."""

    def put_into(self, request: pb.ListClipsRequest) -> None:
        """Ask for these clips alone."""
        for column, values in self.where.items():
            request.where.add(column=column, values=values)
        request.verdicts.extend(self.verdicts)
        request.latest = self.latest
        request.clips.extend(self.clips)

    def blocks(self, clips: Sequence[str]) -> Iterator[ClipFilter]:
        """The same of some clips only, as many at once as one listing may name."""
        for start in range(0, len(clips), AT_ONCE):
            yield replace(self, clips=clips[start : start + AT_ONCE])


ALL_CLIPS: Final = ClipFilter()
AWAITING: Final = ClipFilter(verdicts=(types.Review.VERDICT_UNSPECIFIED,), latest=True)
"""Takes that nobody has reviewed yet."""
