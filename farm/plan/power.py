"""Whether a card may begin to render for the sake of the electrical circuit that it hangs on."""

from __future__ import annotations

from collections.abc import Iterable

from farm.domain.fleet import CardFacts, Circuit
from farm.plan.policy import Policy


def may_start(
    card: CardFacts,
    *,
    circuit: Circuit,
    busy: Iterable[CardFacts],
    last_start: float,
    now: float,
    policy: Policy,
) -> str:
    """Why an idle card must not begin now, in plain words; empty: it may.

    `busy` are the other cards of its circuit that are at work, `last_start` (monotonic seconds)
    is when the last of them began. The sum of power caps counts, not what is drawn at the moment:
    a breaker trips on the worst. Cold starts are staggered, so that their surges do not add up.
    """
    own = watts(card, policy)
    if own > circuit.watts:
        return (
            f"it may draw {own:.0f} W and its circuit {circuit.name} carries {circuit.watts:.0f} "
            f"W: lower its power cap, or name another circuit"
        )
    drawn = sum(watts(other, policy) for other in busy)
    if drawn + own > circuit.watts:
        return (
            f"its circuit {circuit.name} carries {circuit.watts:.0f} W and {drawn:.0f} W of them "
            f"are taken: its own {own:.0f} W have to wait"
        )
    since = now - last_start
    if since < policy.stagger_seconds:
        return (
            f"another card of its circuit {circuit.name} has just begun: "
            f"starts are {policy.stagger_seconds:g} s apart"
        )
    return ""


def watts(card: CardFacts, policy: Policy) -> float:
    """What a card may draw: its power cap, or what the policy takes it for."""
    return card.power_cap_watts or policy.card_watts_default
