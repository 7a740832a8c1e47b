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
