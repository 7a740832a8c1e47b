"""Which of NVML's cards `cuda:N` is: CUDA counts what CUDA_VISIBLE_DEVICES leaves, NVML all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from node_agent.telemetry.sample import Identity

CUDA_DEVICE_ORDER = "PCI_BUS_ID"
"""Of the processes that render, unless the environment says otherwise: with it CUDA counts as NVML
does. CUDA's own default puts the fastest first."""


def nvml_index(
    device: str, cards: Sequence[Identity], environment: Mapping[str, str] | None = None
) -> int | None:
    """NVML's index of a device, `cuda` or `cuda:N`, for a process with this environment.

    None for a CPU, for a card that is not visible, and where it cannot be told: a MIG slice, or
    cards of several models in an order other than `CUDA_DEVICE_ORDER`.
    """
    environment = os.environ if environment is None else environment
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number.isdecimal() or not number):
        return None
    visible = _visible(environment.get("CUDA_VISIBLE_DEVICES"), cards)
    position = int(number or 0)
    if position >= len(visible):
        return None
    chosen, by_index = visible[position]
    alike = len({card.name for card in cards}) == 1
    order = environment.get("CUDA_DEVICE_ORDER", CUDA_DEVICE_ORDER)
    if by_index and not alike and order != CUDA_DEVICE_ORDER:
        return None
    return chosen.index


def _visible(setting: str | None, cards: Sequence[Identity]) -> list[tuple[Identity, bool]]:
    """The cards that CUDA sees, and whether each was named by its index.

    As CUDA reads it: indices or (beginnings of) UUIDs; the first that is wrong ends the list.
    """
    if setting is None:
        return [(card, True) for card in cards]
    visible: list[tuple[Identity, bool]] = []
    for part in map(str.strip, setting.split(",")):
        if part.isdecimal():
            named = [card for place, card in enumerate(cards) if place == int(part)]
        else:
            named = [card for card in cards if part and card.uuid.startswith(part)]
        if len(named) != 1:
            break
        visible.append((named[0], part.isdecimal()))
    return visible
