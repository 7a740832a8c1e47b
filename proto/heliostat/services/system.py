"""The machine's own tools: systemd, and its users."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heliostat.services.errors import ServiceError

MACHINE: Final = Path("/")
"""The root that is no scratch root."""
BOOTED: Final = Path("/run/systemd/system")
"""Is there where systemd is process 1."""


def require_rights(root: Path, command: str) -> None:
    """Whether services can be installed here, and taken away. Raises `ServiceError`."""
    if root != MACHINE:
        return
    if os.geteuid() != 0:
        raise ServiceError(
            f"this needs root: sudo {command}; --dry-run shows what it would write, "
            "--root DIR writes it below a directory of yours"
        )
    if not BOOTED.is_dir():
        raise ServiceError(
            "systemd does not run here (there is no /run/systemd/system): start it by your own "
            "means, as with `farm up --foreground` or `farm-node join`; --root DIR writes the "
            "files alone"
        )


def run(*command: str) -> None:
    """Run one of them. Raises `ServiceError` with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ServiceError(f"{command[0]} is not installed: it belongs to systemd") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ServiceError(f"{' '.join(command)} ended with {done.returncode}: {said}")


def user_exists(name: str) -> bool:
    """The machine knows a user of this name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group_of(user: str) -> str:
    """A user's own group; of one that is still to be made it has the same name."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return user


def require_root_owns(paths: Sequence[Path]) -> None:
    """Raise `ServiceError` for programs that others could change, which root is to run."""
    for path in paths:
        if (owner := path.stat().st_uid) != 0:
            raise ServiceError(
                f"{path} belongs to user {owner}, who would be root by what root runs there: "
                "install Heliostat as root, such as in /opt/heliostat"
            )
