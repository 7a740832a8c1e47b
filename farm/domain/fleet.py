"""Cards and nodes as the plan sees them, and what a person or a rule has decided of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from farm.domain.profiles import profile_in
from farm.domain.stacks import Bond, bond


class Standing(StrEnum):
    """What a node or a card may do, as a person or a rule has decided."""

    OPEN = "open"
    """Takes clips."""
    LOCKED = "locked"
    """Takes no new clips; those that it holds go on to their ends."""
    PAUSED = "paused"
    """Gives up what it holds at the next chunk boundary, and stays ready."""
    DRAINING = "draining"
    """The same, and its agents end when nothing is held: the node is about to leave."""
    QUARANTINED = "quarantined"
    """Gives up what it holds, and is examined before it takes clips again."""

    @property
    def takes_clips(self) -> bool:
        """New leases may be given."""
        return self is Standing.OPEN

    @property
    def keeps_clips(self) -> bool:
        """Leases that are held go on."""
        return self in (Standing.OPEN, Standing.LOCKED)


STRICTNESS = tuple(Standing)
"""From the mildest to the strictest."""


def stricter(one: Standing, other: Standing) -> Standing:
    """Of a node's standing and its card's, the one that counts."""
    return max(one, other, key=STRICTNESS.index)


RACK_TAG = "rack="
"""A card's tag that begins so names the rack that its machine stands in."""


def rack_of(tags: Iterable[str]) -> str:
    """What the first of them that names a rack says; empty where none does."""
    named = (tag.removeprefix(RACK_TAG) for tag in tags if tag.startswith(RACK_TAG))
    return next(named, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine, and what was decided of it."""

    hostname: str
    standing: Standing = Standing.OPEN
    reason: str = ""
    schedule: str = ""
    """When it may render (`farm.domain.hours`); empty is always."""
    circuit: str = ""
    """The electrical circuit that it hangs on; empty is none that has a limit."""
    changed_at: float = 0.0
    """Unix seconds of the last decision."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """A fuse: cards behind it may draw so much together."""

    name: str
    watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the plan knows of a card. Equal facts of many cards share their strings."""

    card_id: str
    hostname: str = ""
    card_type: str = ""
    """As its node names it: `rtx-4060-ti`, `h100`, `cpu`."""
    vram_bytes: int = 0
    tags: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    """All that it can render with, what it loads at its start first; empty is unknown."""
    models: tuple[str, ...] = ()
    """Names and digests of the models that it has; empty is unknown."""
    lanes: int = 1
    """Clips that it renders in lockstep."""
    model_digest: str = ""
    """Of the model that it has loaded; empty is none, or unknown."""
    stack_id: str = ""
    """Versions, place and the profile that it has loaded; empty is unknown."""
    power_cap_watts: float = 0.0
    """0 is unknown."""
    pace: float = 0.0
    """Seconds for one unit of cost (`farm.plan.cost`), measured; 0 is not measured yet."""

    @property
    def bond(self) -> Bond:
        """What clips that it has begun go on with."""
        return bond(self.model_digest, self.stack_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a batch asks of the cards that render it; empty asks nothing."""

    card_types: tuple[str, ...] = ()
    """Any of these."""
    vram_bytes: int = 0
    tags: tuple[str, ...] = ()
    """All of these."""
    profile: str = ""
    """The only one that its clips are rendered with, whatever their quality."""
    model: str = ""
    """A model's name, or the beginning of its digest."""
    stack_id: str = ""
    """Versions and profile that a card must render with, exactly."""

    @property
    def pinned(self) -> str:
        """The only profile that its clips are rendered with; empty is no pin."""
        return self.profile or profile_in(self.stack_id)


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """Something decided of a node or a card, or of what is shared, with its reason."""

    target: str
    """A node's hostname, a card's id, or `project NAME`, `limit NAME`, `circuit NAME`, `rollout
    NUMBER`."""
    kind: str
    """lock, unlock, drain, pause, resume, quarantine, release, schedule, circuit, forget; set;
    rollout."""
    detail: str = ""
