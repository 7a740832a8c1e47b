"""helios-mini: trained small models that come with this package, a Base and a Distilled one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from node_agent.models.info import ModelError
from node_agent.models.manifest import Manifest
from node_agent.models.staging import remove_others, staged
from node_agent.models.verify import load_verified

MINI: Final = Path(__file__).parent / "helios-mini"
"""The Base model, of 64x64 pixels, pinned by its manifest as any model is."""
MINI_DISTILLED: Final = Path(__file__).parent / "helios-mini-distilled"
"""The Distilled one, of 128x128."""


def copy_mini(directory: Path, *, distilled: bool = False) -> Manifest:
    """Copy helios-mini into `directory`, a new one, and verify it. Raises `ModelError`."""
    if directory.exists() and any(directory.iterdir()):
        raise ModelError(f"{directory} is not empty: give a new directory")
    source = MINI_DISTILLED if distilled else MINI
    with staged(directory) as partial:
        remove_others(partial, set())
        shutil.copytree(source, partial, copy_function=shutil.copyfile, dirs_exist_ok=True)
        return load_verified(partial)
