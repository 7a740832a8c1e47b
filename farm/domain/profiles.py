"""Which profile a clip gets on a card, by its quality.

Nodes have the same rule and decide by it (`node_agent/render/profiles.py`); here it keeps clips
from cards that would have to refuse them. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

BY_QUALITY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "exact": ("exact",),
        "standard": ("exact", "fast", "fast-fp8"),
        "draft": ("fast", "fast-fp8", "exact"),
    }
)
"""What a quality may be rendered with, the best first."""


_NAMES: Final = frozenset(name for names in BY_QUALITY.values() for name in names)


def profile_in(stack_id: str) -> str:
    """The profile that a stack id names; "" where it names none."""
    return next((word for word in stack_id.split(",") if word in _NAMES), "")


def renders_as(wanted: str, stack_id: str, offered: Collection[str]) -> bool:
    """A card of this stack id, which names the profile that it has loaded, has the one wanted, or
    has it with another profile of those that it offers."""
    loaded, profile = profile_in(stack_id), profile_in(wanted)
    if not loaded or profile not in offered:
        return wanted == stack_id
    return wanted == stack_id.replace(f",{loaded},", f",{profile},")


def profile_for(quality: str, offered: Collection[str], pinned: str = "") -> str:
    """Of the profiles that a card offers, the one that a clip is rendered with; "" is none.

    `pinned` is what its user asks for, and overrules the quality.
    """
    if pinned:
        return pinned if pinned in offered else ""
    for name in BY_QUALITY[quality]:
        if name in offered:
            return name
    return ""
