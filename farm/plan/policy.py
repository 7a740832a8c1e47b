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
    change_seconds: float = 60.0
    """A change of profile or LoRAs takes a card so long; estimated, until farms measured it."""
    change_clips: int = 4
    """A project may go without so many changes' worth of time for the sake of sparing one."""
    round_trip_seconds: float = 5.0
    """Longest wait for an exchange and a clip's inputs: a card holds work for as long."""
    reserve_seconds: float = 60.0
    """A clip that gave up its card for a certain other one is kept for that one so long."""
    examine_again_seconds: float = 600.0
    """A card that failed its examination is examined again after so long."""
    card_forgotten_seconds: float = 600.0
    """A card that was not heard of for so long is not counted on any more."""
    submission_idle_seconds: float = 600.0
    """A submission of which nothing more came for so long is forgotten: its gateway died."""
    share_half_life_seconds: float = 3600.0
    """What a project had of the fleet counts half as much after so long."""
    resume_seconds: float = 10.0
    """A clip that goes on elsewhere costs so long: its last chunk and its checkpoint travel."""
    deadline_margin: float = 0.1
    """Part of the time still needed that is kept in hand before a deadline; estimated paces err."""
    deadline_margin_seconds: float = 120.0
    """Kept in hand beside it: what is under way on the cards ends first."""
    stagger_seconds: float = 2.0
    """Cards on one circuit begin so far apart: supplies draw most as they start."""
    card_watts_default: float = 450.0
    """A card whose cap is unknown counts for so much: what the largest common cards may draw."""
    quarantine_clips: int = 3
    """Different clips that a card must fail, without a chunk in between, to be quarantined."""
    quarantine_seconds: float = 1800.0
    """Failures longer ago than this count no more towards it."""
    poison_cards: int = 2
    """Cards whose standing the failures of one clip may count against."""
    storage_budget: int = 30
    """The same where the object store failed: outages end, and the finished files are kept."""
    rollout_seconds: float = 600.0
    """A card that is changed to another release and says nothing for so long goes back."""
    rollout_examine_seconds: float = 2400.0
    """The same for one that is there, but does not end its golden chunk: it may load a model first,
    which its agent gives half an hour."""
    rollout_deaths_max: int = 3
    """An agent that dies more often with what is rolled out goes back."""
    pause_failed_min: int = 5
    """A batch that names no number is paused when at least so many of its clips have failed …"""
    pause_failed_share: float = 0.1
    """… and more than this part of them."""
