"""What keeps a service's logs within bounds, where they do not do it themselves.

Our own logs do (`heliostat.logs`), Ray's sessions are told to, and the journal has its limits. What
is left is what Ray's start and our launch write beside these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heliostat.services.files import File
from heliostat.services.system import group_of

RAY_ROTATION: Final = "Environment=RAY_ROTATION_MAX_BYTES=16777216 RAY_ROTATION_BACKUP_COUNT=3"
"""Of each log of a Ray session; without it, 512 MB and five older ones."""


def rotation(part: str, about: str, user: str, logs: Sequence[Path]) -> File:
    """logrotate's settings for these."""
    names = "\n".join(map(str, logs))
    content = (
        f"# Written by `{about}`.\n{names} {{\n"
        f"    su {user} {group_of(user)}\n"
        "    size 4M\n    rotate 3\n    copytruncate\n    missingok\n    notifempty\n}\n"
    )
    return File(path=Path(f"/etc/logrotate.d/heliostat-{part}"), content=content)
