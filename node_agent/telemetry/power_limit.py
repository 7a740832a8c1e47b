"""Power limits of cards: what they are, and how they are set, which NVML lets only root do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pynvml


class PowerLimitError(Exception):
    """A limit cannot be read or set; the message says of which card, why, and what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLimit:
    """Of one card, watts."""

    index: int
    uuid: str
    name: str
    now: float
    default: float
    lowest: float
    highest: float


def read_limits(library: Any = pynvml) -> list[PowerLimit]:
    """Of all cards that have one, in NVML's order. Raises `PowerLimitError`.

    `library` offers pynvml's functions.
    """
    try:
        library.nvmlInit()
        cards = range(library.nvmlDeviceGetCount())
    except pynvml.NVMLError as error:
        raise PowerLimitError(
            f"NVML does not answer ({error}): `farm-node doctor` says what the driver lacks"
        ) from None
    found = (_read(library, index) for index in cards)
    return [limit for limit in found if limit is not None]


def set_limits(watts: float | None, library: Any = pynvml) -> list[PowerLimit]:
    """Set every card's limit, None to what it is by default; how they are then.

    No card is changed where one of them cannot have it. Raises `PowerLimitError`.
    """
    limits = read_limits(library)
    if not limits:
        raise PowerLimitError("there is no card here whose power can be limited")
    for limit in limits:
        if watts is not None and not limit.lowest <= watts <= limit.highest:
            raise PowerLimitError(
                f"card {limit.index} ({limit.name}) takes {limit.lowest:g} to "
                f"{limit.highest:g} W, not {watts:g}: nothing was changed"
            )
    for limit in limits:
        wanted = limit.default if watts is None else watts
        try:
            card = library.nvmlDeviceGetHandleByIndex(limit.index)
            library.nvmlDeviceSetPowerManagementLimit(card, round(wanted * 1000))
        except pynvml.NVMLError as error:
            raise PowerLimitError(_refusal(limit, error)) from None
    return read_limits(library)


def _read(library: Any, index: int) -> PowerLimit | None:
    """None for a card that has no limit, or is lost."""
    try:
        card = library.nvmlDeviceGetHandleByIndex(index)
        lowest, highest = library.nvmlDeviceGetPowerManagementLimitConstraints(card)
        return PowerLimit(
            index=index,
            uuid=library.nvmlDeviceGetUUID(card),
            name=library.nvmlDeviceGetName(card),
            now=library.nvmlDeviceGetPowerManagementLimit(card) / 1000,
            default=library.nvmlDeviceGetPowerManagementDefaultLimit(card) / 1000,
            lowest=lowest / 1000,
            highest=highest / 1000,
        )
    except pynvml.NVMLError:
        return None


def _refusal(limit: PowerLimit, error: pynvml.NVMLError) -> str:
    where = f"card {limit.index} ({limit.name})"
    if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
        return (
            f"{where}: only root may set power limits: use sudo, or have a service of root's do "
            "it at every start: farm-node install HEAD --power-limit WATTS"
        )
    return f"{where}: its limit was not set: {error}"
