"""Which releases a node has, which one runs here, and which one its service starts with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

RELEASES_DIR: Final = Path("/opt/heliostat/releases")
"""Where a node's releases are unless it is said otherwise."""
RELEASES_VARIABLE: Final = "HELIOSTAT_RELEASES_DIR"
CURRENT: Final = "current"
"""Beside the directory of releases: the link to the one that the node's service starts with."""


class ReleaseError(Exception):
    """A release cannot be had, used or removed; the message says why, and what helps."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of Heliostat, in a virtual environment of its own."""

    version: str
    directory: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"


def releases_dir() -> Path:
    """As the environment says, or the usual one."""
    return Path(os.environ.get(RELEASES_VARIABLE) or RELEASES_DIR)


def running_release() -> str:
    """The version that this process runs; "" where it was not installed."""
    try:
        return version("heliostat")
    except PackageNotFoundError:
        return ""


def installed(directory: Path) -> list[Release]:
    """The whole releases below `directory`, by version; one that is being made is none."""
    try:
        names = sorted(path.name for path in directory.iterdir() if not path.is_symlink())
    except OSError:
        return []
    found = [Release(name, directory / name) for name in names if name[0] != "."]
    return [each for each in found if os.access(each.python, os.X_OK)]


def current(directory: Path) -> str:
    """The version that the node's service starts with; "" for none of these."""
    try:
        chosen = directory.parent / os.readlink(directory.with_name(CURRENT))
    except OSError:
        return ""
    return chosen.name if chosen.parent == directory else ""
