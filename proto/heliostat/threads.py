"""What both halves mind of the operating system's threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TASKS: Final = Path("/proc/self/task")


@contextmanager
def ordinary_threads() -> Iterator[None]:
    """No thread is left with a real-time priority that it did not have before.

    SVT-AV1 takes the highest one where it may (as root), for its own threads and for the one that
    opens it, and whatever that starts later inherits it: programs that spin then stop a machine.
    """
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time() -> set[int]:
    """Threads of this process with a real-time priority; none where Linux does not tell."""
    found = set()
    if _TASKS.is_dir():
        for name in os.listdir(_TASKS):
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(int(name)) in (os.SCHED_FIFO, os.SCHED_RR):
                    found.add(int(name))
    return found
