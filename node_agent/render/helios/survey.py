"""What each profile of a model needs, and what it gets on this machine, with what is free now.

Counted as loading counts it, from shapes: no weights are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from node_agent.models import ModelError, ModelInfo, describe
from node_agent.models.info import read_config
from node_agent.render.helios.device import device_named
from node_agent.render.helios.offer import Offer, Shape, check_stored
from node_agent.render.helios.placement import Caps, Room, plan_for, room
from node_agent.render.helios.slabs.files import empty_transformer
from node_agent.render.helios.slabs.plan import (
    RAM_RESERVE_BYTES,
    WORKING_BYTES,
    Plan,
    Sizes,
    smallest,
)
from node_agent.render.profiles import PROFILES, Profile, ProfileError, choose
from node_agent.render.renderer import QUALITIES


class DirectoryShape:
    """The shape of the model in a directory, by its configurations; implements `Shape`."""

    def __init__(self, directory: Path) -> None:
        """Raises `ModelError`. What the manifest says of the files is not looked at."""
        self.info: ModelInfo = describe(directory)
        self._config = read_config(directory / "transformer" / "config.json")

    def empty_transformer(self, dtype: torch.dtype) -> Any:
        """See `Shape`."""
        return empty_transformer(self._config, dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a profile needs of a machine with a GPU, bytes; working room is included."""

    capability_min: tuple[int, int]
    """CUDA compute capability."""
    weights_bytes: int
    """Of the transformer."""
    vram_min_bytes: int
    """With as few weights on the card as can be."""
    ram_at_vram_min_bytes: int
    """Of the host, then."""
    vram_resident_bytes: int
    """With all weights on the card; the host then keeps none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the weights live here."""

    blocks: int
    blocks_resident: int
    """Of the blocks, those that stay on the device."""
    weights_on_device_bytes: int
    ram_bytes: int
    """Of the host, what it keeps for all else included; 0 where it holds no weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One profile."""

    profile: str
    needs: Needs | None
    """None where the model's matrices do not have the shapes for it."""
    offered: bool
    """Clips can be rendered with it here."""
    place: Place | None
    """None where it has none."""
    refusal: str
    """Why it has none; "" where it has one, or where nothing but the card is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A model's profiles on this machine."""

    device: str
    """`cuda:0`, `cpu`; `card` is one that is only imagined, "" is none."""
    device_name: str
    problem: str
    """Why the device that was asked for cannot render; "" where it can."""
    vram_bytes: int
    """To be had; 0 for a CPU, unless it is capped."""
    ram_bytes: int
    profiles: tuple[Row, ...]
    loaded: str
    """The profile that is loaded first; "" where none is offered."""
    qualities: dict[str, str]
    """By quality, the profile that its clips get; "" where they get none here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaginedCard(Offer):
    """A card that is not here: of any compute capability, with as much memory as is said."""

    def plan(self, profile: Profile) -> Plan:
        """See `Offer.plan`."""
        check_stored(self.parts.info, profile)
        return plan_for(self.sizes(profile), self.room(), streamed=self.streamed)


def survey(shape: Shape, device: str, caps: Caps) -> Survey:
    """What `device` (`cuda:N`, `cpu`) offers of a model.

    Where it cannot render, a cap on its memory stands in for it, if there is one.
    """
    offer, problem = _offer(shape, device, caps)
    stored = shape.info.profile
    profiles = [each for each in PROFILES.values() if stored in ("", each.name)]
    counting = offer or _imagined(shape, Room(0, 0))
    on_card = replace(counting, dtype=torch.bfloat16)
    offered = _offered(offer)
    free = offer.room() if offer else Room(0, room(torch.device("cpu"), caps).ram)
    on_gpu = not problem and device != "cpu"
    return Survey(
        device="" if offer is None else "card" if problem else device,
        device_name=torch.cuda.get_device_name(device) if on_gpu else "",
        problem=problem,
        vram_bytes=free.vram,
        ram_bytes=free.ram,
        profiles=tuple(_row(profile, on_card, offer, offered) for profile in profiles),
        loaded=next(iter(offered), ""),
        qualities={quality: _chosen(quality, offered) for quality in QUALITIES},
    )


def _offer(shape: Shape, name: str, caps: Caps) -> tuple[Offer | None, str]:
    """The device's, or that of a card like it; and why it is not the device's."""
    try:
        device = device_named(name)
    except ModelError as error:
        if caps.vram is None:
            return None, str(error)
        return _imagined(shape, room(torch.device("cpu"), caps)), str(error)
    return Offer(
        parts=shape,
        device=device,
        dtype=torch.float32 if device.type == "cpu" else torch.bfloat16,
        room=lambda: room(device, caps),
        capped=caps.vram is not None,
        streamed=False,
    ), ""


def _imagined(shape: Shape, free: Room) -> ImaginedCard:
    return ImaginedCard(
        parts=shape,
        device=torch.device("cuda"),
        dtype=torch.bfloat16,
        room=lambda: free,
        capped=True,
        streamed=False,
    )


def _offered(offer: Offer | None) -> tuple[str, ...]:
    """Names of profiles, that which is loaded first before the others."""
    try:
        return offer.profiles() if offer else ()
    except ModelError:  # each row says why
        return ()


def _row(profile: Profile, on_card: Offer, offer: Offer | None, offered: Sequence[str]) -> Row:
    needs, place, refusal = None, None, ""
    try:
        needs = _needs(profile, on_card.sizes(profile))
        if offer:
            place = _place(offer.plan(profile))
    except ModelError as error:
        refusal = str(error)
    return Row(
        profile=profile.name,
        needs=needs,
        offered=profile.name in offered,
        place=place,
        refusal=refusal,
    )


def _needs(profile: Profile, sizes: Sizes) -> Needs:
    least = smallest(sizes)
    return Needs(
        capability_min=profile.capability_min,
        weights_bytes=sizes.total,
        vram_min_bytes=least.vram_bytes + WORKING_BYTES,
        ram_at_vram_min_bytes=least.ram_bytes + RAM_RESERVE_BYTES,
        vram_resident_bytes=sizes.total + WORKING_BYTES,
    )


def _place(plan: Plan) -> Place:
    return Place(
        blocks=len(plan.sizes.blocks),
        blocks_resident=plan.resident,
        weights_on_device_bytes=plan.vram_bytes,
        ram_bytes=plan.ram_bytes + RAM_RESERVE_BYTES if plan.ram_bytes else 0,
    )


def _chosen(quality: str, offered: Sequence[str]) -> str:
    try:
        return choose(quality, offered)
    except ProfileError:
        return ""
