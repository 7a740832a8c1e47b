"""Puts a service onto a machine, or below a scratch root, and says what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.services import system
from heliostat.services.errors import ServiceError
from heliostat.services.files import File, below, digest_of
from heliostat.services.record import Record, others, record_path
from heliostat.services.users import USER, user_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a part of the farm is to have on a machine."""

    part: str
    user: str
    files: Sequence[File]
    """Without those that its user needs."""
    units: Sequence[str]
    data: Path
    kept: Sequence[Path] = ()
    """Files of an earlier installation that stay as they are."""


@dataclass(slots=True)
class Installed:
    """What an installation did, or would do."""

    written: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    """What an earlier installation had and this one does not."""
    diff: list[str] = field(default_factory=list)
    started: bool = False

    @property
    def changed(self) -> bool:
        """Something was not there as it should be."""
        return bool(self.written or self.removed)


def install(plan: Plan, root: Path, *, dry_run: bool, start: bool) -> Installed:
    """Write what is not there yet; on the machine itself, also make the user and start the units.

    Raises `ServiceError`, OSError.
    """
    before = Record.load(root, plan.part)
    files = [*user_files(plan.user), *plan.files]
    _spare_what_is_not_ours(files, root, before)
    record = _record(plan, files, root, before)
    gone = [Path(path) for path in (before.files if before else {}) if path not in record.files]
    found = Installed(removed=[path for path in gone if below(root, path).exists()])
    for file in [*files, record.as_file()]:
        if not file.is_there(root):
            found.written.append(file.path)
            if file.path != record.as_file().path:
                found.diff += file.difference(root)
    if dry_run:
        return found
    _write(files, record, found, root)
    if root == system.MACHINE:
        dropped = [unit for unit in (before.units if before else []) if unit not in plan.units]
        _take_over(plan, found, dropped, start=start)
    return found


def _spare_what_is_not_ours(files: Sequence[File], root: Path, before: Record | None) -> None:
    """Raise `ServiceError` for a file that somebody else wrote, or changed since we did."""
    known = before.files if before else {}
    for file in files:
        there = below(root, file.path)
        if file.secret or not there.exists() or file.is_there(root):
            continue
        if digest_of(there) != known.get(str(file.path)):
            raise ServiceError(
                f"{file.path} was written or changed by hand: move it away and try again; what "
                "units lack goes into drop-ins, by systemctl edit"
            )


def _record(plan: Plan, files: Sequence[File], root: Path, before: Record | None) -> Record:
    """What there will be once the plan is carried out."""
    known = before.files if before else {}
    kept = {str(path): known[str(path)] for path in plan.kept if str(path) in known}
    paths = [*(file.path for file in files), record_path(plan.part)]
    needed = {parent for path in paths for parent in path.parents}
    made = [str(path) for path in needed if not below(root, path).exists()]
    written = {str(file.path): file.digest for file in files}
    rest = others(root, plan.part)
    theirs = {name for other in rest for name in other.directories} & set(map(str, needed))
    mine = set(before.directories if before else [])
    claims = [each.user for each in [before, *rest] if each]
    ours = not system.user_exists(USER) or any(claims)
    return Record(
        part=plan.part,
        files=dict(sorted({**kept, **written}.items())),
        directories=sorted({*mine, *theirs, *made}),
        units=list(plan.units),
        user=USER if plan.user == USER and root == system.MACHINE and ours else "",
        data=str(plan.data),
    )


def _write(files: Sequence[File], record: Record, found: Installed, root: Path) -> None:
    """The record comes first: what is written is known before it is there."""
    for directory in record.directories:
        below(root, Path(directory)).mkdir(exist_ok=True)
    for file in [record.as_file(), *files]:
        if file.path in found.written:
            file.write(root)
    for path in found.removed:
        below(root, path).unlink(missing_ok=True)


def _take_over(plan: Plan, found: Installed, dropped: Sequence[str], *, start: bool) -> None:
    """Have systemd know it, and run it."""
    if found.changed:
        if dropped:
            system.run("systemctl", "disable", "--now", *dropped)
        if plan.user == USER:
            system.run("systemd-sysusers", str(user_files(USER)[0].path))
        system.run("systemctl", "daemon-reload")
    if start:
        system.run("systemctl", "enable", "--now", *plan.units)
        found.started = True
