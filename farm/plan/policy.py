"""The numbers by which the plan decides, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits and times; the defaults are the promises' (REL-2, REL-3, REL-6)."""

    lease_seconds: float = 45.0
    """A lease ends when its card was not heard of for so long."""
    exchange_seconds: float = 10.0
    """A card is asked to speak at least so often."""
    loss_budget: int = 5
    """Attempts of a clip that may be lost in a row without a new chunk."""
    failure_budget: int = 3
    """Attempts of a clip that may fail in a row without a new chunk."""
    input_cards: int = 2
    """Distinct cards that must find the clip itself at fault before it is given up."""
    backoff_seconds: float = 1.0
    """Wait after the first failure; doubles with each one in a row."""
    backoff_seconds_max: float = 60.0
    card_forgotten_seconds: float = 600.0
    """A card that was not heard of for so long is not counted on any more."""
    submission_idle_seconds: float = 600.0
    """A submission of which nothing more came for so long is forgotten: its gateway died."""
