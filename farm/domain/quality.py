"""What a quality means for each variant of Helios: the steps of its denoising.

A row that names no steps gets those of its quality when it is submitted, so that quotes, rates and
sidecars all speak of what is rendered. Nodes have the same table for clips that come to them
without a farm (`node_agent/render/helios/recipe.py`); a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STEPS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "distilled": MappingProxyType({"draft": 1, "standard": 2, "exact": 2}),
        "mid": MappingProxyType({"draft": 10, "standard": 20, "exact": 20}),
        "base": MappingProxyType({"draft": 25, "standard": 50, "exact": 50}),
    }
)
"""Steps of each stage by variant and quality."""

STAGES: Final[Mapping[str, int]] = MappingProxyType({"distilled": 3, "mid": 3, "base": 1})
"""Of the pyramid; 1 is none."""


def presets(variant: str, stages: int) -> dict[str, tuple[int, ...]]:
    """Steps by quality. Raises KeyError for an unknown variant."""
    return {quality: (steps,) * stages for quality, steps in STEPS[variant].items()}
