"""Named points of the commit path at which tests kill a process, to see that nothing is lost.

There are none unless HELIOSTAT_FAILPOINTS names a folder when a process starts, and `farm up`
refuses that off loopback. A file of the folder that is named like a point and holds a number n arms
it: whoever passes it as the n-th, of all processes, dies there by SIGKILL. The file is then called
`POINT.hit`, so that a point is hit once and another process of the same kind lives.
docs/reliability.md lists the points; `node_agent.failpoints` is the same for nodes.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import Final

VARIABLE: Final = "HELIOSTAT_FAILPOINTS"

_folder: Final = os.environ.get(VARIABLE, "")


def reach(point: str) -> None:
    """Go on; or die here, where a test has armed the point and this is the pass it waits for."""
    if _folder and _is_due(Path(_folder, point)):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_due(armed: Path) -> bool:
    """Count a pass; True once, for the last one."""
    try:
        file = armed.open("r+")
    except FileNotFoundError:
        return False
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        left = int(file.read()) - 1
        if left < 0:  # another process was the last one, while this one waited
            return False
        file.seek(0)
        file.truncate()
        file.write(str(left))
        file.flush()
        if left == 0:
            armed.rename(armed.with_name(f"{armed.name}.hit"))
        return left == 0
