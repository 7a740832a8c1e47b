"""Whether a batch can still keep its deadline, when it must go before others, and what would help.

The bound is that of preemptive rendering on cards of different speed (Horvath, Lam and Sethi,
1977): clips yield at chunk boundaries, so it is nearly reached. It supposes that every eligible
card does nothing else: a deadline that it breaks cannot hold whatever the plan does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from farm.plan.policy import Policy
from farm.plan.words import count, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How a batch with a deadline stands."""

    finish: float
    """Unix seconds at which it could be done at the earliest; infinite without a card."""
    slack_seconds: float
    """From then to the deadline; less than 0: so much too late."""
    feasible: bool
    """The deadline can still be kept."""
    urgent: bool
    """The last moment at which it can safely have all cards has come."""
    cards: int
    """Cards that can render it."""
    cards_missing: int | None
    """More cards of the mean speed with which it could hold; None: no number of them would do."""


def finish_bound(costs: Sequence[float], paces: Sequence[float]) -> float:
    """Seconds within which clips of these remaining costs cannot be done any faster.

    `paces` are the eligible cards' seconds for a unit of cost. The k longest clips never run on
    more than the k fastest cards, for any k; and all of them never on more than all.
    """
    if not costs:
        return 0.0
    speeds = list(accumulate(sorted((1 / pace for pace in paces), reverse=True)))
    work = list(accumulate(sorted(costs, reverse=True)))
    if not speeds:
        return math.inf
    pairs = zip(work, speeds, strict=False)
    return max(work[-1] / speeds[min(len(work), len(speeds)) - 1], *(w / s for w, s in pairs))


def quick_bound(units: float, longest: float, paces: Sequence[float]) -> float:
    """The same from the total cost and the longest clip's alone: for batches of many clips."""
    if units <= 0:
        return 0.0
    if not paces:
        return math.inf
    return max(longest * min(paces), units / sum(1 / pace for pace in paces))


def outlook(
    units: float,
    longest: float,
    paces: Sequence[float],
    *,
    now: float,
    deadline: float,
    policy: Policy,
    ahead: float = 0.0,
    was_urgent: bool = False,
) -> Outlook:
    """How a batch stands at `now`, of which `units` are left and `longest` of its longest clip.

    `ahead` is what other batches have to render on these cards before their own, earlier
    deadlines. A batch that `was_urgent` stays so until it has twice the margin: it must not lose
    its cards as soon as it has them.
    """
    needed = quick_bound(units + ahead, longest, paces)
    slack = deadline - now - needed
    margin = policy.deadline_margin * needed + policy.deadline_margin_seconds
    return Outlook(
        finish=now + needed,
        slack_seconds=slack,
        feasible=slack >= 0,
        urgent=slack <= margin * (2 if was_urgent else 1),
        cards=len(paces),
        cards_missing=_missing(units + ahead, longest, paces, deadline - now),
    )


def due(found: Outlook, deadline: float) -> float:
    """What ranks batches of one priority: the earliest deadline that is near and can hold.

    Infinite for all others, which take turns. That includes those that are too late already: one
    that cannot hold must not make a second one late.
    """
    return deadline if found.urgent and found.feasible else math.inf


def warning(found: Outlook, name: str) -> str:
    """By how much a deadline will be missed and what would help; empty when it can hold."""
    if found.feasible:
        return ""
    if not found.cards:
        return (
            f"batch {name} cannot keep its deadline: no card that is at work can render it. "
            f"Open such a card, or change what the batch asks of cards"
        )
    late, there = duration(-found.slack_seconds), count(found.cards, "card")
    text = f"batch {name} cannot keep its deadline: with {there} at work on nothing else, "
    text += f"it would be {late} late at best. "
    if found.cards_missing is None:
        return text + f"More cards would not help: move the deadline by {late}, or cancel clips"
    return text + f"{count(found.cards_missing, 'card')} more of their mean speed would do"


def _missing(units: float, longest: float, paces: Sequence[float], seconds: float) -> int | None:
    if not paces or seconds <= 0 or longest * min(paces) > seconds:
        return None
    speed = sum(1 / pace for pace in paces)
    return max(0, math.ceil((units / seconds - speed) / (speed / len(paces)) - 1e-9))
