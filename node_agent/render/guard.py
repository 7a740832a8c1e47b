"""The render child's hold on life: it has two pipes to its agent, and dies when the agent does.

Two ropes, because either can fail: the kernel's parent-death signal ends a child that is stuck
in a driver and cannot run a line of Python; the end of the command pipe ends one whose agent's
thread, which the signal is bound to, outlives the agent's interest.
"""

from __future__ import annotations

import ctypes
import enum
import os
import signal
import sys
from typing import BinaryIO, NoReturn

_PR_SET_PDEATHSIG = 1


class ExitCode(enum.IntEnum):
    """Why a render child left of its own accord (numbers as in sysexits.h where one fits)."""

    STOPPED = 0
    """Asked to."""
    BROKEN = 70
    """The accelerator is beyond use in this process, or an error of ours."""
    ORPHANED = 74
    """The agent is gone."""
    PROTOCOL = 76
    """The agent sent something that is no command."""
    LOAD_FAILED = 78
    """The renderer could not start; `LoadFailed` said why."""


def leave(code: ExitCode) -> NoReturn:
    """End this process now, from any thread, whatever the others are in the middle of."""
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel kill this process, by this signal, when the thread that started it ends.

    `parent` is the agent's process id: if another process is the parent already, the agent died
    before the signal was set, and this process leaves.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        leave(ExitCode.ORPHANED)


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take stdin and stdout away for messages alone; return them as (commands, reports).

    From then on whatever a library prints goes to stderr, and reading stdin gives nothing. The
    pipes are not passed on to processes that this one starts.
    """
    sys.stdout.flush()
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, reports
