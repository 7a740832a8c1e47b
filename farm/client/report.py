"""A batch's report: one HTML file that holds all of it, made of what the farm tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from farm.client.sidecars import sidecars
from farm.domain.errors import FarmError
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

if TYPE_CHECKING:
    from farm.client.farm import Farm

PICTURES_MAX: Final = 200
SIDECARS_MAX: Final = 5_000
"""Takes whose quality is looked at; of more, these are chosen evenly."""
REASONS_ASKED: Final = 10
"""Reasons of failures about which the farm is asked what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a report is made of."""

    batch: types.Batch
    clips: Sequence[types.Clip]
    """In the order of the file."""
    works: Mapping[str, pb.ClipWork]
    """By clip."""
    cards: Mapping[str, types.Card]
    """By id; those that the farm still knows."""
    made_at: datetime
    """With a zone, in which all times are told."""
    remedies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Reason of a failure, without its card → what would help."""
    quality: Sequence[Mapping[str, Any]] = ()
    """Sidecars: of each take its `signals` and `marks`."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Clip → a `data:` URI."""
    notes: Sequence[str] = ()
    """What is missing, and why."""

    def is_own(self, clip: types.Clip) -> bool:
        """Its take was rendered for it: it is done, and was not there already."""
        reused = clip.origin.kind == _REUSED and not clip.attempt
        return clip.state == types.CLIP_STATE_DONE and not reused


_REUSED: Final = "reuse"


def gather(farm: Farm, batch_id: str, made_at: datetime, *, with_quality: bool = True) -> Sources:
    """All of it but pictures. Raises what the farm's calls raise; without sidecars it goes on."""
    batch = farm.get(batch_id)
    clips = list(farm.clips(batch.batch_id))
    done = [clip for clip in clips if clip.state == types.CLIP_STATE_DONE]
    looked_at = evenly(done, SIDECARS_MAX) if with_quality else []
    quality = list(sidecars(farm, batch.batch_id, [clip.clip_id for clip in looked_at]))
    notes = []
    if missing := len(looked_at) - len(quality):
        notes.append(f"{missing:,} sidecars could not be had: their takes are not in Quality.")
    return Sources(
        batch=batch,
        clips=clips,
        works={work.clip_id: work for work in farm.work(batch.batch_id)},
        cards={card.card_id: card for card in farm.cards()},
        made_at=made_at,
        remedies=_remedies(farm, clips),
        quality=quality,
        notes=notes,
    )


def evenly(clips: Sequence[types.Clip], most: int) -> list[types.Clip]:
    """At most so many of them, from the whole length."""
    if len(clips) <= most:
        return list(clips)
    return [clips[n * len(clips) // most] for n in range(most)]


def _remedies(farm: Farm, clips: Sequence[types.Clip]) -> dict[str, list[str]]:
    """What the farm says would help, asked once for each reason."""
    found: dict[str, list[str]] = {}
    for clip in clips:
        reason = alike(clip.reason)
        if clip.state != types.CLIP_STATE_FAILED or reason in found:
            continue
        if len(found) == REASONS_ASKED:
            break
        try:
            found[reason] = list(farm.why(clip.clip_id).remedies)
        except FarmError:
            found[reason] = []
    return found


def alike(reason: str) -> str:
    """A reason without the card that it names: so the same cause reads the same."""
    return _CARD.sub("a card", reason)


_CARD: Final = re.compile(r"\bcard [\w.:-]*\w")
