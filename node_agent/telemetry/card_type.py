"""What kind of card a card is, in one word that people write and the plan compares."""

from __future__ import annotations

import re
from typing import Final

_SAID_ANYWAY: Final = re.compile(
    r"nvidia|geforce|tesla|gpu|generation|edition|workstation|server|sxm\d?|hbm\d?e?|[\d.]+[gt]b"
)
"""Words that tell no two kinds apart: maker, brand, form and memory of a kind's usual board. What
is slower than the usual stays (`pcie`, `laptop`, `max-q`)."""


def card_type(name: str | None) -> str:
    """`rtx-4060-ti` of NVML's "NVIDIA GeForce RTX 4060 Ti"; `cpu` where there is no card."""
    if not name:
        return "cpu"
    words = re.split(r"[\s_/-]+", name.lower())
    kept = [word for word in words if word and not _SAID_ANYWAY.fullmatch(word)]
    return "-".join(kept or filter(None, words))
