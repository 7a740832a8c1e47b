"""What repeated failures say: of a card, that it is sick; of a batch, that it is not worth it.

A single failure says little. The same card failing different clips, with no chunk in between,
speaks against the card (REL-7); different cards failing the same clip speak against the clip, and
it must not take the fleet with it (REL-6); the store failing for several cards speaks against
neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.plan.policy import Policy
from farm.plan.retry import Failure
from farm.plan.words import duration


@dataclass(slots=True)
class _Stored:
    """A card's failures of storage, which may still turn out to be nobody's."""

    clears: int
    """Cards that had started anew before the first of them."""
    clips: dict[str, float] = field(default_factory=dict)
    """Clip → when it failed (monotonic seconds)."""


class Strikes:
    """Failures that speak against cards, as far back as they count."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._of_card: dict[str, dict[str, float]] = {}
        """Card → clips that it failed, and when (monotonic seconds)."""
        self._storage: dict[str, _Stored] = {}
        """By card; the one that had none for longest is first."""
        self._blamed: dict[str, tuple[float, tuple[str, ...]]] = {}
        """Clip → when it last counted, and against which cards; the longest ago first."""
        self._clears = 0

    def add(self, card_id: str, clip_id: str, failure: Failure, now: float) -> str:
        """Note a failed attempt. Returns why the card is to be quarantined, or nothing.

        A clip that is at fault itself (`INPUT`) counts against no card. Any other failure counts
        against the card, but those of one clip against no more than `poison_cards`: the third
        card on which it fails is in good company. A failure of storage counts only where no other
        card has one and others have recorded chunks since: then it is the card's own disk or
        network, and not the store.
        """
        if failure is Failure.INPUT:
            return ""
        since = now - self._policy.quarantine_seconds
        self._forget(since)
        if failure is Failure.STORAGE:
            stored = self._storage.pop(card_id, None) or _Stored(self._clears)
            stored.clips = {c: stored.clips[c] for c in _later(stored.clips, since)}
            stored.clips[clip_id] = now
            self._storage[card_id] = stored
        elif self._blame(card_id, clip_id, now):
            self._of_card.setdefault(card_id, {})[clip_id] = now
        return self._verdict(card_id, since)

    def clear(self, card_id: str) -> None:
        """The card has recorded a chunk, or was quarantined: it starts anew.

        What its clips did elsewhere stays known: they may be what made it fail.
        """
        self._of_card.pop(card_id, None)
        self._storage.pop(card_id, None)
        self._clears += 1

    def _verdict(self, card_id: str, since: float) -> str:
        clips = _later(self._of_card.get(card_id, {}), since)
        stored = self._storage.get(card_id)
        if stored and len(self._storage) == 1 and self._clears > stored.clears:
            clips |= _later(stored.clips, since)
        if len(clips) < self._policy.quarantine_clips:
            return ""
        return (
            f"failed {len(clips)} different clips within "
            f"{duration(self._policy.quarantine_seconds)}, with no chunk in between"
        )

    def _blame(self, card_id: str, clip_id: str, now: float) -> bool:
        """Whether a clip may count against this card; if so, that is remembered."""
        _, cards = self._blamed.pop(clip_id, (now, ()))
        may = card_id in cards or len(cards) < self._policy.poison_cards
        if may and card_id not in cards:
            cards = (*cards, card_id)
        self._blamed[clip_id] = (now, cards)
        return may

    def _forget(self, since: float) -> None:
        """Forget what was last heard of so long ago that it counts no more."""
        while self._blamed and (first := next(iter(self._blamed.items())))[1][0] <= since:
            clip_id, (_, cards) = first
            del self._blamed[clip_id]
            for card_id in cards:
                self._of_card.get(card_id, {}).pop(clip_id, None)
        while self._storage:
            card_id, stored = next(iter(self._storage.items()))
            if max(stored.clips.values()) > since:
                break
            del self._storage[card_id]


def _later(clips: Mapping[str, float], since: float) -> set[str]:
    return {clip_id for clip_id, at in clips.items() if at > since}


def should_pause(
    failed: int, clips: int, failures_max: int | None, policy: Policy, *, forgiven: int = 0
) -> str:
    """Why a batch of `clips`, of which `failed` have failed, is to be paused; or nothing.

    The `forgiven` ones had failed when somebody resumed it, who knew of them: only new ones count.

    `failures_max` is the batch's own number: 0 never pauses it, None leaves it to the policy,
    which wants several clips *and* a part of the batch, so that neither a small batch with one
    bad prompt nor a huge one with a handful of them stops.
    """
    if failures_max == 0:
        return ""
    failed = max(0, failed - forgiven)
    more, since = ("more ", " since it was resumed") if forgiven else ("", "")
    if failures_max is not None:
        if failed < failures_max:
            return ""
        return (
            f"{failed:,} {more}of its {clips:,} clips have failed{since}, "
            f"as many as it may ({failures_max:,})"
        )
    if failed < policy.pause_failed_min or failed <= policy.pause_failed_share * clips:
        return ""
    return (
        f"{failed:,} {more}of its {clips:,} clips have failed{since}, "
        f"more than {policy.pause_failed_share:.0%} of them"
    )
