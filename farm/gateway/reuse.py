"""Takes that are there already: a clip that asks for the same gets the same.

The same is what the digest says, rendered on a model and a stack that the farm's cards have now; a
farm whose cards were upgraded renders it again. Only takes of the clip's own project count: what
belongs to one project never hangs on what another one keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from farm.domain.fleet import Needs
from farm.domain.spec import NewClip, Origin
from farm.gateway.desk import Desk
from farm.plan.match import has_model
from heliostat.v1 import types_pb2 as types_pb


class Reuse:
    """Finds them for the clips of one submission."""

    def __init__(self, desk: Desk, project: str, needs: Needs) -> None:
        self.clips = 0
        """That got a take."""
        self._desk = desk
        self._project = project
        self._needs = needs
        self._known: set[tuple[str, str]] | None = None
        """(model digest, stack id) of the cards that are here; None: not asked yet."""

    async def of(self, clips: Sequence[NewClip]) -> list[NewClip]:
        """The same clips, some with the takes that they reuse as their origin."""
        ledger, wanted = self._desk.ledger, list({clip.digest for clip in clips if clip.digest})
        takes = await self._desk.threads.run(ledger.reusable, self._project, wanted)
        if not takes:
            return list(clips)
        if self._known is None:
            cards = (await self._desk.fleet.get()).cards
            self._known = {pair for card in cards for pair in self._pairs(card)}
        found = {
            take.digest: Origin("reuse", take.clip_id, take.chunks)
            for take in takes
            if (take.model_digest, take.stack_id) in self._known
        }
        self.clips += sum(clip.digest in found for clip in clips)
        return [replace(clip, origin=found.get(clip.digest, clip.origin)) for clip in clips]

    def _pairs(self, card: types_pb.Card) -> Iterator[tuple[str, str]]:
        needs = self._needs
        if card.online and (not needs.model or has_model(needs.model, card.models)):
            for stack in _stacks(card, needs.profile):
                if not needs.stack_id or stack == needs.stack_id:
                    yield card.model_digest, stack


def _stacks(card: types_pb.Card, pinned: str) -> list[str]:
    """Stack ids of what a card can render: its own, with each of its profiles in it, or the one
    that is asked for."""
    if not card.stack_id:
        return []
    loaded = card.profile
    if not loaded:
        return [] if pinned else [card.stack_id]
    profiles = [each for each in card.profiles or (loaded,) if pinned in ("", each)]
    return [card.stack_id.replace(f",{loaded},", f",{each},") for each in profiles]
