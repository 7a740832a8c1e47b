"""A program with all that it ever starts: whole, or ended without exception.

This process adopts every orphan below it (Linux's child subreaper), so that nothing which was
started here can hide from it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

import psutil

TERM_SECONDS: Final = 10.0
KILL_SECONDS: Final = 5.0
ROUNDS_MAX: Final = 5

_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """Become the parent of whatever below this process loses its own. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Program:
    """A running program and the child of it that it cannot do without, by that child's name.

    `ray start --block` ends when its raylet is killed, but not when the raylet leaves of its own
    accord, as it does once it has been declared dead.
    """

    def __init__(
        self, command: Sequence[str], part: str, environment: Mapping[str, str], log: IO[bytes]
    ) -> None:
        bound = [sys.executable, "-P", "-m", "node_agent.cluster.bound", str(os.getpid())]
        self._process = subprocess.Popen(
            [*bound, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            process_group=0,  # a terminal's Ctrl-C is for this process
        )
        self._name = part
        self._part: psutil.Process | None = None

    def is_whole(self) -> bool:
        """It is alive, and so is its part once that has been seen."""
        if self._process.poll() is not None:
            return False
        if self._part is None:
            with suppress(psutil.Error):
                children = psutil.Process(self._process.pid).children()
                self._part = next((c for c in children if c.name() == self._name), None)
            return True
        try:
            return self._part.is_running() and self._part.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def end(self) -> None:
        """End it politely when it is whole, and then whatever it has left, for certain."""
        if self.is_whole():
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(TERM_SECONDS)
        for _ in range(ROUNDS_MAX):
            left = psutil.Process().children(recursive=True)
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=KILL_SECONDS)
            if not left:
                break
        self._process.wait()
