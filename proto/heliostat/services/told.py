"""What an installation or its end is told as: lines for a person, values for a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heliostat.services.install import Installed
from heliostat.services.uninstall import Removed


def installed_lines(found: Installed, *, dry_run: bool, service: str) -> list[str]:
    """What was written, or would be, and what is left to do for the service."""
    if not found.changed:
        return ["nothing to change: everything is there as it should be"]
    if dry_run:
        return [*found.diff, *(f"would remove {path}" for path in found.removed)]
    return [
        *(f"wrote {path}" for path in found.written),
        *(f"removed {path}" for path in found.removed),
        _next(found, service),
    ]


def _next(found: Installed, service: str) -> str:
    if not found.started:
        return f"to start it, now and with the machine: systemctl enable --now {service}"
    return (
        f"{service} is started; one that ran before goes on as it was: systemctl restart {service}"
    )


def installed_values(found: Installed, *, dry_run: bool) -> dict[str, Any]:
    """The same for a program."""
    return {
        "changed": found.changed,
        "dry_run": dry_run,
        "written": _texts(found.written),
        "removed": _texts(found.removed),
        "started": found.started,
    }


def removed_lines(removed: Removed | None, command: str) -> list[str]:
    """What went, and what is still there; `command` is what was called."""
    if removed is None:
        return ["nothing is installed here"]
    lines = [f"removed {path}" for path in removed.files]
    lines += [f"kept {path}: it was changed by hand" for path in removed.changed]
    if removed.data:
        lines.append(f"kept {removed.data}: data")
    if removed.user:
        lines.append(f"kept the user {removed.user}, whose data these are")
    end = "nothing is left" if removed.everything else f"{command} --purge removes the rest"
    return [*lines, end]


def removed_values(removed: Removed | None) -> dict[str, Any]:
    """The same for a program."""
    found = removed or Removed()
    return {
        "was_installed": removed is not None,
        "removed": _texts(found.files),
        "changed": _texts(found.changed),
        "data": str(found.data) if found.data else None,
        "user": found.user or None,
    }


def _texts(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]
