"""What a figure has to say of itself: when, where, by which command, over which versions."""

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def about(script: str, packages: Iterable[str]) -> dict[str, Any]:
    """The machine, the versions of `packages`, and the command with its arguments."""
    with Path("/proc/cpuinfo").open() as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"bench/{script}", *sys.argv[1:]]),
        "cpus": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "load_at_start": os.getloadavg(),
    }
