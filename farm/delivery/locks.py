"""Locks between processes that share a folder, on whichever machines.

Network shares know no flock: a lock is a file that only one can make. Who holds it touches it now
and then; a holder that is dead, or has not touched it for a minute on the clock of whoever waits,
has lost it. So nobody's clock is compared with another's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

EXPIRY_SECONDS: Final = 60.0
TOUCH_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY


class Locks:
    """This process's locks in one folder; safe to use from several threads."""

    def __init__(self, directory: Path, *, expiry_seconds: float = EXPIRY_SECONDS) -> None:
        self._directory = directory
        self._expiry_seconds = expiry_seconds
        self._ours = f"{_host()} {os.getpid()} {uuid.uuid4().hex}"
        self._held: set[Path] = set()
        self._seen: dict[Path, tuple[object, float]] = {}
        """How a lock looked that another holds, and since when (monotonic)."""
        self._guard = threading.Lock()
        self._touched = time.monotonic()

    @contextlib.contextmanager
    def held(self, name: str, *, wait_seconds: float = 0.0) -> Iterator[bool]:
        """Inside, True: the lock is ours. False: another had it for as long as we waited."""
        path = self._directory / f"{name}.lock"
        until = time.monotonic() + wait_seconds
        while not (taken := self._take(path)) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        try:
            yield taken
        finally:
            if taken:
                self._let_go(path)

    def touch(self) -> None:
        """Keep what is held; call it often, it does so when it is due."""
        with self._guard:
            if time.monotonic() - self._touched < TOUCH_SECONDS:
                return
            self._touched = time.monotonic()
            for path in self._held:
                with contextlib.suppress(OSError):
                    os.utime(path)

    def tidy(self) -> None:
        """Remove the locks of the dead: nobody else does, of what needs no work any more."""
        for path in self._directory.glob("*.lock"):
            with self.held(path.stem):
                pass

    def still_ours(self, name: str) -> bool:
        """Nobody has taken the lock over because we seemed to be dead."""
        path = self._directory / f"{name}.lock"
        return path in self._held and _read(path) == self._ours

    def _take(self, path: Path) -> bool:
        with self._guard:
            if path in self._held:
                return False
            if not self._make(path):
                found = _look(path)
                if found is None or not self._is_dead(path, found):
                    return False
                # Of several who find it dead, one alone can rename it.
                aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
                try:
                    os.rename(path, aside)
                except OSError:
                    return False
                if _read(aside) != found[0]:  # it was taken over and is somebody's again
                    with contextlib.suppress(OSError):
                        os.rename(aside, path)
                    return False
                aside.unlink(missing_ok=True)
                if not self._make(path):
                    return False
            self._held.add(path)
            self._seen.pop(path, None)
            return True

    def _make(self, path: Path) -> bool:
        while True:
            with contextlib.suppress(FileExistsError):  # it came and went while it was looked at
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, _FLAGS, 0o666)
            except FileExistsError:
                return False
            except FileNotFoundError:  # an empty directory of locks was just tidied away
                continue
            with os.fdopen(descriptor, "w") as stream:
                stream.write(self._ours)
            return True

    def _is_dead(self, path: Path, found: tuple[str, int]) -> bool:
        now = time.monotonic()
        before, since = self._seen.get(path, (None, now))
        if before != found:
            self._seen[path] = (found, since := now)
        if now - since > self._expiry_seconds:
            return True
        host, _, rest = found[0].partition(" ")
        pid = rest.partition(" ")[0]
        if host != _host() or not pid.isdigit():
            return False
        # A lock with our own number is of an earlier process, or of another user of it in this one.
        return int(pid) != os.getpid() and not _is_alive(int(pid))

    def _let_go(self, path: Path) -> None:
        with self._guard:
            self._held.discard(path)
            if _read(path) == self._ours:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others use it
                self._directory.rmdir()


def _look(path: Path) -> tuple[str, int] | None:
    """A lock's content and when it was touched; None when it is gone."""
    try:
        return _read(path), path.stat().st_mtime_ns
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _host() -> str:
    """This machine, and where process numbers are counted alike."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return f"{socket.gethostname()}/{numbers}"
