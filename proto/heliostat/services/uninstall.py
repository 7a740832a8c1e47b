"""Takes a service off a machine: what its installation wrote, and nothing else."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliostat.services import system
from heliostat.services.files import below, digest_of
from heliostat.services.record import Record, others, record_path
from heliostat.services.unit import UNITS


@dataclass(slots=True)
class Removed:
    """What an uninstallation did."""

    files: list[Path] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    """Changed by hand, or beside our units, and kept."""
    data: Path | None = None
    """What the service kept, and is still there."""
    user: str = ""
    """The user that was made for it, and is still there."""

    @property
    def everything(self) -> bool:
        """Nothing of it is left."""
        return not (self.changed or self.data or self.user)


def uninstall(root: Path, part: str, *, purge: bool) -> Removed | None:
    """Stop it, and remove what `install` wrote; with `purge` also what was changed, and data.

    None where it is not installed. Raises `ServiceError`, OSError.
    """
    record = Record.load(root, part)
    if record is None:
        return None
    rest = others(root, part)
    if root == system.MACHINE:
        units = [unit for unit in record.units if (UNITS / unit).exists()]
        if units:
            system.run("systemctl", "disable", "--now", *units)
    removed = Removed()
    for name, digest in record.files.items():
        _remove(Path(name), digest, root, removed, purge=purge, rest=rest)
    _remove_drop_ins(record, root, removed, purge=purge)
    if root == system.MACHINE:
        system.run("systemctl", "daemon-reload")
    data = below(root, Path(record.data))
    if purge and data.exists():
        shutil.rmtree(data)
    if data.exists():
        removed.data = Path(record.data)
    if record.user and not any(other.user for other in rest):
        if removed.data:
            removed.user = record.user
        elif system.user_exists(record.user):
            system.run("userdel", record.user)
    _leave(record, root, removed)
    return removed


def _remove(
    path: Path, digest: str, root: Path, removed: Removed, *, purge: bool, rest: list[Record]
) -> None:
    """Remove a file, unless another part of the farm has it, too, or a person changed it."""
    there = below(root, path)
    if not there.exists() or any(str(path) in other.files for other in rest):
        return
    if digest_of(there) != digest and not purge:
        removed.changed.append(path)
        return
    there.unlink()
    removed.files.append(path)


def _remove_drop_ins(record: Record, root: Path, removed: Removed, *, purge: bool) -> None:
    """What `systemctl edit` keeps beside our units."""
    for unit in record.units:
        drop_ins = UNITS / f"{unit}.d"
        if not below(root, drop_ins).exists():
            continue
        if purge:
            shutil.rmtree(below(root, drop_ins))
            removed.files.append(drop_ins)
        else:
            removed.changed.append(drop_ins)


def _leave(record: Record, root: Path, removed: Removed) -> None:
    """The record goes with the last thing in it; directories, where they are empty."""
    if removed.everything:
        below(root, record_path(record.part)).unlink()
    else:
        changed = set(map(str, removed.changed))
        kept = {name: digest for name, digest in record.files.items() if name in changed}
        replace(record, files=kept).as_file().write(root)
    for name in sorted(record.directories, reverse=True):
        with suppress(OSError):  # it is not empty
            below(root, Path(name)).rmdir()
