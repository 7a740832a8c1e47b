"""The user that services run as."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from heliostat.services.errors import ServiceError
from heliostat.services.files import File
from heliostat.services.record import STATE
from heliostat.services.system import user_exists

USER: Final = "heliostat"
"""The system user that an installation makes; any other one has to be there."""


def user_files(user: str) -> list[File]:
    """What makes the user. Raises `ServiceError` for another one that is not there."""
    if user != USER:
        if not user_exists(user):
            raise ServiceError(
                f"there is no user {user} here: make it with useradd --system {user}, or leave "
                f"--user out, which makes {USER}"
            )
        return []
    line = f'u {USER} - "Heliostat render farm" {STATE} -\n'
    return [File(path=Path("/etc/sysusers.d/heliostat.conf"), content=line)]
