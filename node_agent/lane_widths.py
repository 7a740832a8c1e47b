"""How many lanes a card renders best with: measured by `farm-node bench --tune`, kept on the node.

A JSON file beside the models' stamps, with an entry for each card type, model, profile and size.
Agents that are not told a number take the least that was measured for their card and model: what
one profile or size gains from, another one may not have the memory for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node_agent.files import write_atomic
from node_agent.models import ModelError, load_manifest
from node_agent.telemetry import card_type
from node_agent.telemetry.nvml import find_nvml
from node_agent.telemetry.visible import nvml_index

logger = logging.getLogger(__name__)

WIDTHS_NAME: Final = "lanes.json"
"""In the directory of a node's models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """What was found for one way of rendering."""

    card_type: str
    model_digest: str
    profile: str
    size: str
    """WIDTHxHEIGHT."""
    lanes: int
    why: str
    """Why not more."""
    measured_at: str

    @property
    def key(self) -> tuple[str, ...]:
        """What it holds for: a later measurement of the same takes its place."""
        return self.card_type, self.model_digest, self.profile, self.size


def width_of(record: Mapping[str, Any]) -> Width:
    """The result of a bench record that was made with `--tune`."""
    tuned = record["tuned"]
    return Width(
        card_type=record["card"]["type"],
        model_digest=record["model"]["weights"],
        profile=record["model"]["profile"],
        size=f"{record['width']}x{record['height']}",
        lanes=tuned["lanes"],
        why=tuned["why"],
        measured_at=record["measured_at"],
    )


def keep(path: Path, width: Width) -> None:
    """Add to the file, in the place of what was found before. Raises OSError."""
    others = [each for each in read(path) if each.key != width.key]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [asdict(each) for each in (*others, width)]
    write_atomic(path, json.dumps(content, indent=2).encode() + b"\n")


def read(path: Path) -> list[Width]:
    """All that was found; nothing where there is no file, or one that is none of ours."""
    try:
        return [Width(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is not used (%s); `farm-node bench --tune` writes it anew", path, error)
        return []


def lanes_for(path: Path, device: str, model: Path | None) -> int:
    """How many lanes a device takes when nobody says; 1 where nothing was measured."""
    if model is None or not (known := read(path)):
        return 1
    try:
        digest = load_manifest(model).digest
    except ModelError:  # the render child says it
        return 1
    kind = _type_of(device)
    found = [w.lanes for w in known if (w.card_type, w.model_digest) == (kind, digest)]
    return min(found, default=1)


def _type_of(device: str) -> str:
    """The type of a device's card; "" where NVML cannot tell."""
    if device == "cpu":
        return card_type(None)
    nvml = find_nvml()
    cards = nvml.cards() if nvml else ()
    index = nvml_index(device, cards)
    names = [card.name for card in cards if card.index == index and card.name]
    return card_type(names[0]) if names else ""
