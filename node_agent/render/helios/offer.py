"""Which profiles a device offers of a model: what arithmetic, weights and memory allow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from node_agent.models import ModelError, ModelInfo
from node_agent.render.helios.device import check_profile
from node_agent.render.helios.placement import Room, plan_for
from node_agent.render.helios.quantize import lay_out
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.slabs.plan import Plan, Sizes, resident
from node_agent.render.profiles import EXACT, PROFILES, Profile, choose

logger = logging.getLogger(__name__)


class Shape(Protocol):
    """What is known of a model without its weights; all `Parts` have it."""

    info: ModelInfo

    def empty_transformer(self, dtype: torch.dtype) -> Any:
        """See `Parts`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What plans are made of: a model's shape, and the device that it comes to."""

    parts: Shape
    device: torch.device
    dtype: torch.dtype
    room: Callable[[], Room]
    """Memory that may be taken now."""
    capped: bool
    """Whether a cap stands in for a CPU's GPU memory."""
    streamed: bool
    """As few blocks as can be stay on the device."""

    def profiles(self, pinned: Profile | None = None) -> tuple[str, ...]:
        """Names of what can be rendered with, the best first; only what is `pinned`, if anything.

        A CPU stands in for a card and offers one: `exact`, unless weights are stored for another.
        Raises `ModelError` when there is none.
        """
        stored = self.parts.info.profile
        if pinned is None and self.device.type == "cpu":
            pinned = PROFILES.get(stored, EXACT)
        refusals, offered = {}, []
        for profile in [pinned] if pinned else PROFILES.values():
            try:
                self.plan(profile)
            except ModelError as error:
                refusals[profile.name] = error
                logger.info("profile %s is not offered: %s", profile.name, error)
            else:
                offered.append(profile.name)
        if not offered:  # of several, what takes the least
            raise refusals.get(stored) or refusals.get("fast") or next(iter(refusals.values()))
        best = choose("standard", offered, pinned="" if pinned is None else pinned.name)
        return best, *(name for name in offered if name != best)

    def plan(self, profile: Profile) -> Plan:
        """Where the weights go. Raises `ModelError`, with numbers and what to do."""
        check_profile(self.device, profile)
        check_stored(self.parts.info, profile)
        sizes = self.sizes(profile)
        if self.device.type == "cpu" and not self.capped:
            return resident(sizes)
        try:
            return plan_for(sizes, self.room(), streamed=self.streamed)
        except ModelError as error:
            instead = self._that_fits(profile)
            hint = f"; the profile {instead} fits (--profile {instead})" if instead else ""
            raise ModelError(f"profile {profile.name}: {error}{hint}") from None

    def sizes(self, profile: Profile) -> Sizes:
        """Bytes of the weights in a profile, counted without making them. Raises `ModelError`."""
        stock = self.parts.empty_transformer(self.dtype)
        lay_out(stock, profile)
        return Parted.of(stock).sizes

    def _that_fits(self, refused: Profile) -> str:
        for profile in PROFILES.values():
            if profile != refused:
                try:
                    check_profile(self.device, profile)
                    check_stored(self.parts.info, profile)
                    plan_for(self.sizes(profile), self.room(), streamed=self.streamed)
                except ModelError:
                    continue
                return profile.name
        return ""


def check_stored(info: ModelInfo, profile: Profile) -> None:
    """Raise `ModelError` where weights are stored for another profile."""
    if info.profile not in ("", profile.name):
        raise ModelError(
            f"the model's weights are stored for the profile {info.profile} and cannot be run with"
            f" {profile.name}: what was rounded off is gone. Use the profile {info.profile}, or the"
            " model that it was quantised from"
        )
