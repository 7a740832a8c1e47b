"""The models and LoRAs under one directory, as they can be told without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node_agent.models.info import ModelError
from node_agent.models.manifest import MANIFEST_NAME, MODEL, Manifest, load_manifest
from node_agent.models.stamps import Stamps
from node_agent.models.verify import glance

MODELS_DIR = Path("~/.heliostat/models")
"""Where a node's models are unless it is said otherwise."""


class State(StrEnum):
    """What is known of a model without reading it."""

    VERIFIED = "verified"
    """Every file has been read since it last changed, and is what the manifest says."""
    UNVERIFIED = "unverified"
    """Nothing is known to be wrong, and not everything to be right."""
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """One pinned directory."""

    directory: Path
    manifest: Manifest | None
    """None when it cannot be read."""
    state: State
    detail: str = ""
    """What is wrong."""


def catalog(models_dir: Path, stamps: Path | None) -> list[Entry]:
    """Every directory below `models_dir` with a manifest, by name."""
    known = Stamps(stamps)
    pinned = sorted(models_dir.glob(f"*/{MANIFEST_NAME}"))
    return [_entry(path.parent, known) for path in pinned if path.parent.name[0] != "."]


def _entry(directory: Path, known: Stamps) -> Entry:
    try:
        manifest = load_manifest(directory)
    except ModelError as error:
        return Entry(directory, None, State.DAMAGED, str(error))
    problems, certain = glance(directory, manifest, known)
    if problems:
        return Entry(directory, manifest, State.DAMAGED, "; ".join(map(str, problems)))
    return Entry(directory, manifest, State.VERIFIED if certain else State.UNVERIFIED)


def find_model(digest: str, models_dir: Path, stamps: Path | None) -> Path | None:
    """Where the model of this digest is below `models_dir`; None where it is not, or not whole."""
    for entry in catalog(models_dir, stamps):
        made, whole = entry.manifest, entry.state is not State.DAMAGED
        if made is not None and made.kind == MODEL and made.digest == digest and whole:
            return entry.directory
    return None
