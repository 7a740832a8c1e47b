"""A notice to a command of the farm's owner: its CloudEvent on standard input, no shell between."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from farm.gateway.webhook import NotTaken

SECONDS_MAX: Final = 60.0
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of the gateway's environment; its secrets stay with it."""


def run_hook(command: Sequence[str], event_id: str, body: bytes) -> None:
    """Run it to its end. Raises `NotTaken` when it fails, or takes longer than a minute."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["HELIOSTAT_EVENT_ID"] = event_id
    try:
        done = subprocess.run(
            list(command),
            input=body,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotTaken(f"{command[0]} took more than {SECONDS_MAX:.0f} s") from None
    except OSError as error:
        raise NotTaken(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise NotTaken(f"{command[0]} ended with {done.returncode}: {said}")
