"""The golden chunk as a card rendered it before it was brought to another release.

One file in a folder of the card's own, named by the release that rendered it: it is what the other
release is compared with, and what the first one must equal when it comes back.
"""

from __future__ import annotations

import logging
from pathlib import Path

from node_agent.burnin.errors import GoldenError
from node_agent.burnin.golden import Origin, Reference, load, save

SUFFIX = ".safetensors"

logger = logging.getLogger(__name__)


class Kept:
    """A card's folder with its reference; without a folder, nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def by(self, release: str, origin: Origin | None) -> bool:
        """Whether the reference was rendered by this release, of `origin`'s model.

        None is a model that is not known: then any.
        """
        path = self._path()
        if path is None or path.stem != release:
            return False
        return origin is None or self.load(origin) is not None

    def keep(self, release: str, reference: Reference) -> None:
        """Take a reference in the place of what was kept before. Raises OSError."""
        if self._folder is None:
            return
        for other in self._folder.glob(f"*{SUFFIX}"):
            other.unlink()
        save(self._folder / f"{release}{SUFFIX}", reference)

    def load(self, origin: Origin) -> Reference | None:
        """The reference for chunks of `origin`, by whatever stack and profile; None: none."""
        try:
            path = self._path()
            return load(path, origin, any_profile=True) if path is not None else None
        except GoldenError as error:  # of another model or size: nothing to compare with
            logger.info("%s", error)
            return None

    def _path(self) -> Path | None:
        if self._folder is None:
            return None
        return next(self._folder.glob(f"*{SUFFIX}"), None)
