"""What follows a failure or a loss: once more, or an explicit end with its reason (REL-6)."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from farm.domain.clip import Clip, GiveUp, Outcome, RetryAt
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
    card is left to ask. Anything else spends the failure budget, which a recorded chunk refills.
    """
    if failure is Failure.INPUT:
        blamed = {*clip.input_failed, card_id}
        if len(blamed) >= policy.input_cards or not set(cards) - blamed:
            return GiveUp(f"{message} (found on {count(len(blamed), 'card')})")
    elif clip.failures + 1 >= policy.failure_budget:
        return GiveUp(f"{failure}: {message} (attempt {clip.attempt}, no chunk since the last one)")
    return RetryAt(now + _backoff(clip.failures, policy))


def after_loss(clip: Clip, reason: str, *, started: bool, now: float, policy: Policy) -> Outcome:
    """Decide for a clip whose card died or went silent. One that had not begun spends nothing."""
    losses = clip.losses + (1 if started else 0)
    if losses > policy.loss_budget:
        return GiveUp(f"lost {count(losses, 'time')} in a row without a new chunk: {reason}")
    return RetryAt(now)


def _backoff(failures: int, policy: Policy) -> float:
    return float(min(policy.backoff_seconds_max, policy.backoff_seconds * 2**failures))
