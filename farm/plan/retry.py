"""What follows a failure or a loss: once more, or an explicit end with its reason (REL-6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from farm.domain.clip import Clip, GiveUp, Outcome, RetryAt
from farm.domain.fleet import CardFacts
from farm.plan.policy import Policy
from farm.plan.words import count


class Failure(StrEnum):
    """How an attempt failed, which decides what happens next."""

    INPUT = "input"
    """The clip itself."""
    OUT_OF_MEMORY = "out of GPU memory"
    NODE = "node"
    STORAGE = "storage"
    STALL = "stall"


def after_failure(
    clip: Clip,
    failure: Failure,
    message: str,
    *,
    card_id: str,
    cards: Collection[str],
    now: float,
    policy: Policy,
) -> Outcome:
    """Decide for a clip whose attempt on `card_id` failed; `cards` are all that can be counted on.

    The clip's own fault is believed once `input_cards` distinct cards say so, or when no other
    card is left to ask. Anything else spends the failure budget, which a recorded chunk refills. A
    store that is away has a larger budget of its own: the finished files are kept, an outage of
    minutes must not end clips that are as good as done, and the backoff spares the store.
    """
    if failure is Failure.INPUT:
        blamed = {*clip.input_failed, card_id}
        if len(blamed) >= policy.input_cards or not set(cards) - blamed:
            return GiveUp(f"{message} (found on {count(len(blamed), 'card')})")
        return RetryAt(now + _backoff(clip.failures, policy))
    spent, budget = clip.failures, policy.failure_budget
    if failure is Failure.STORAGE:
        spent, budget = clip.storage_failures, policy.storage_budget
    if spent + 1 >= budget:
        return GiveUp(f"{failure}: {message} (attempt {clip.attempt}, no chunk since the last one)")
    return RetryAt(now + _backoff(spent, policy))


def after_loss(clip: Clip, reason: str, *, started: bool, now: float, policy: Policy) -> Outcome:
    """Decide for a clip whose card died or went silent. One that had not begun spends nothing."""
    losses = clip.losses + (1 if started else 0)
    if losses > policy.loss_budget:
        return GiveUp(f"lost {count(losses, 'time')} in a row without a new chunk: {reason}")
    return RetryAt(now)


def roomier(failed_on: CardFacts, cards: Iterable[CardFacts]) -> list[str]:
    """Cards with more VRAM than one that ran out of it, by id, the smallest first.

    A clip that did not fit, not even with the next smaller profile (the node's own first answer),
    is best tried there; the smallest, because the largest cards are wanted by those that need
    them. Empty: any card is as good, and the budget ends it.
    """
    larger = [card for card in cards if card.vram_bytes > failed_on.vram_bytes]
    return [c.card_id for c in sorted(larger, key=lambda card: (card.vram_bytes, card.card_id))]


def _backoff(failures: int, policy: Policy) -> float:
    return float(min(policy.backoff_seconds_max, policy.backoff_seconds * 2**failures))
