"""Profiles: how a model is run on a card, by name, and which of them a clip gets. Pure.

`exact` computes as the model's authors do. Every other profile loses something: docs/profiles.md
says how much on each model that was measured. A clip begins and ends with one profile, wherever a
card can run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """In what the transformer's matrix products are computed."""

    name: str
    arithmetic: str
    """`whole`: bfloat16, on a CPU float32. `int8` and `float8`: weights and activations, scaled by
    row, of the blocks' matrices; sums and everything else as in `whole`."""
    ends_whole: int = 0
    """Blocks at either end that stay `whole`: they lose the most by fewer bits."""
    capability_min: tuple[int, int] = (8, 0)
    """Least CUDA compute capability: 8.0 has bfloat16 and INT8 products, 8.9 FP8."""

    @property
    def lossy(self) -> bool:
        """Whether pictures differ from the model's own."""
        return self.arithmetic != "whole"


EXACT: Final = Profile(name="exact", arithmetic="whole")
FAST: Final = Profile(name="fast", arithmetic="int8", ends_whole=1)
FAST_FP8: Final = Profile(name="fast-fp8", arithmetic="float8", ends_whole=1, capability_min=(8, 9))
PROFILES: Final[Mapping[str, Profile]] = {each.name: each for each in (EXACT, FAST, FAST_FP8)}

_BY_QUALITY: Final[Mapping[str, tuple[str, ...]]] = {
    "exact": ("exact",),
    "standard": ("exact", "fast", "fast-fp8"),
    "draft": ("fast", "fast-fp8", "exact"),
}
"""What a quality may be rendered with, the best first. The loss of the fast ones on the real model
is not known yet: `standard` takes them only where card and host have no room for `exact`."""


class ProfileError(Exception):
    """This card has no profile that a clip may be rendered with; another one may."""


def choose(quality: str, offered: Sequence[str], *, pinned: str = "", begun: str = "") -> str:
    """The profile of a clip, out of those that card and host `offered`.

    `pinned` is what its user asks for, `begun` what its chunks so far were rendered with, if any.
    A clip that was begun with what this card does not have goes on with the next best. Raises
    `ProfileError`.
    """
    if pinned:
        if pinned in offered:
            return pinned
        raise ProfileError(f"the clip is pinned to the profile {pinned}; {_here(offered)}")
    allowed = _BY_QUALITY[quality]
    for name in (begun, *allowed):
        if name in offered and name in allowed:
            return name
    raise ProfileError(
        f"quality {quality} needs the profile {' or '.join(allowed)}; {_here(offered)}"
    )


def stack_with(stack_id: str, profile: str) -> str:
    """The whole stack id of something that was rendered with a profile."""
    return f"{stack_id},{profile}"


def stack_for(stack_id: str, loaded: str, profile: str) -> str:
    """That of a child (`Ready`), which names the profile that it has `loaded`, for another one."""
    return stack_id.replace(f",{loaded},", f",{profile},")


def profile_in(stack_id: str) -> str:
    """The profile that a whole stack id ends with; "" where it ends with something else."""
    name = stack_id.rpartition(",")[2]
    return name if name in PROFILES else ""


def _here(offered: Sequence[str]) -> str:
    return f"this card renders with {' or '.join(offered)}"
