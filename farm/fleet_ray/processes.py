"""A farm's processes: found by the marker in their environment, ended without exception.

Ray's own agents (dashboard, runtime environments) overwrite their environment with their title;
those are known by the farm's Ray directory, in which they keep their logs open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Iterator

import psutil

from farm.fleet_ray.settings import MARKER_VARIABLE, ray_directory

TERM_SECONDS = 8.0
KILL_SECONDS = 5.0
ROUNDS_MAX = 5


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group: politely, then for certain."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Watched:
    """A process and those children of it that it cannot do without.

    `ray start --block` ends when a part of Ray is killed, but not when the raylet leaves of its
    own accord, as it does when one of its own agents has died; then nothing would work any more,
    and nothing would end.
    """

    def __init__(self, process: subprocess.Popen[bytes], parts: Collection[str]) -> None:
        self._process = process
        self._missing = set(parts)
        self._found: list[psutil.Process] = []

    def is_whole(self) -> bool:
        """It is alive, and so is every part of it that has ever been seen."""
        if self._process.poll() is not None:
            return False
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children() if self._missing else ():
                if child.name() in self._missing:
                    self._missing.remove(child.name())
                    self._found.append(child)
        return all(map(_is_alive, self._found))


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def sweep(marker: str, *, keep: str = "") -> int:
    """Kill what carries a farm's marker, this process and its ancestors apart; returns how many.

    `keep` spares a process whose command line names it, with all that it started. What a victim
    started in its last moment is found in another round.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in marked(marker) if keep else ():
        with contextlib.suppress(psutil.Error):
            if keep in " ".join(process.cmdline()):
                spared |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    killed: set[int] = set()
    for _ in range(ROUNDS_MAX):
        victims = [process for process in marked(marker) if process.pid not in spared]
        if not victims:
            break
        for process in victims:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(victims, timeout=KILL_SECONDS)
        killed |= {process.pid for process in victims}
    return len(killed)


def marked(marker: str) -> Iterator[psutil.Process]:
    """Processes that carry a farm's marker."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get(MARKER_VARIABLE) == marker:
                yield process
            elif not environment and process.name().startswith("ray::"):
                directory = f"{ray_directory(marker)}{os.sep}"
                if any(file.path.startswith(directory) for file in process.open_files()):
                    yield process
