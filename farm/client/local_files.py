"""Files of this machine that clips start from: looked at, hashed, and not hashed twice."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farm.domain.values import BadValue, shown

CACHE_NAME: Final = "input-hashes.json"
CACHED_MAX: Final = 50_000
"""Files whose hashes are remembered; the oldest are forgotten."""

_SETTLED_SECONDS: Final = 2.0
"""A file that was changed later than that may change again and keep its time: not remembered."""
_BLOCK_BYTES: Final = 1 << 20
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it was looked at."""

    path: Path
    size_bytes: int
    mtime_ns: int

    @property
    def ext(self) -> str:
        """Its name's ending, fit for a key."""
        ext = self.path.suffix.lower().removeprefix(".")
        return ext if _EXTENSION.fullmatch(ext) else "bin"

    def is_unchanged(self) -> bool:
        """It still has the size and the time that it was seen with."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Hashes:
    """What a file holds."""

    sha256: str
    """Lower-case hex."""
    parts: tuple[str, ...] = ()
    """Base64 SHA-256 of each part, of a file with more than one."""


def look_at(path: Path, bytes_max: int) -> Seen:
    """A file that can be sent. Raises `BadValue` for what is none."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise BadValue(f"{shown(path.name)} is a directory", "name a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise BadValue(f"{shown(path.name)} is no file", "name a picture or video")
        with path.open("rb"):
            pass
    except OSError as error:
        what = f"{shown(path.name)} cannot be read here ({error.strerror})"
        raise BadValue(what, "check its permissions, or use --no-upload") from None
    if not found.st_size:
        raise BadValue(f"{shown(path.name)} is empty", "write it again")
    if found.st_size > bytes_max:
        what = f"{shown(path.name)} has {found.st_size} bytes and {bytes_max} are taken"
        raise BadValue(what, "shorten it")
    return Seen(path, found.st_size, found.st_mtime_ns)


def changed(path: Path) -> BadValue:
    """What is wrong with a file that somebody writes."""
    return BadValue(
        f"{shown(path.name)} changed while it was read", "submit again once it is written"
    )


def hash_file(seen: Seen, part_bytes: int, on_bytes: Callable[[int], None]) -> Hashes:
    """Read a file through. Raises `BadValue` when it cannot be, or is not what was seen."""
    whole, parts, size = hashlib.sha256(), list[str](), 0
    try:
        with seen.path.open("rb") as stream:
            while size <= seen.size_bytes:
                part, left = hashlib.sha256(), part_bytes
                while left and (block := stream.read(min(_BLOCK_BYTES, left))):
                    whole.update(block)
                    part.update(block)
                    left -= len(block)
                    on_bytes(len(block))
                if left == part_bytes:
                    break
                size += part_bytes - left
                parts.append(base64.b64encode(part.digest()).decode())
    except OSError as error:
        what = f"{shown(seen.path.name)} cannot be read here ({error.strerror})"
        raise BadValue(what, "check the disk") from None
    if size != seen.size_bytes or not seen.is_unchanged():
        raise changed(seen.path)
    return Hashes(whole.hexdigest(), tuple(parts) if len(parts) > 1 else ())


class HashCache:
    """Hashes by path, size and time of change, in a small file of the user's; safe to lose."""

    def __init__(self, directory: Path | None, part_bytes: int) -> None:
        self._path = (directory or cache_directory()) / CACHE_NAME
        self._part_bytes = part_bytes
        self._known: dict[str, list[object]] = {}
        self._is_new = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["part_bytes"] == part_bytes:
                self._known = dict(content["files"])

    def get(self, seen: Seen) -> Hashes | None:
        """What an unchanged file was hashed to."""
        match self._known.get(str(seen.path)):
            case [seen.size_bytes, seen.mtime_ns, str(sha256), list(parts)]:
                return Hashes(sha256, tuple(map(str, parts)))
        return None

    def put(self, seen: Seen, hashes: Hashes) -> None:
        """Remember what a file was hashed to, unless it may change unseen."""
        if time.time() - seen.mtime_ns / 1e9 < _SETTLED_SECONDS:
            return
        entry = [seen.size_bytes, seen.mtime_ns, hashes.sha256, list(hashes.parts)]
        self._known.pop(str(seen.path), None)
        self._known[str(seen.path)] = entry
        self._is_new = True

    def save(self) -> None:
        """Write it in one step, if there is something new; a disk that is full does no harm."""
        if not self._is_new:
            return
        files = dict(list(self._known.items())[-CACHED_MAX:])
        content = json.dumps({"part_bytes": self._part_bytes, "files": files})
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._path.parent, delete=False
            ) as temporary:
                temporary.write(content)
            os.replace(temporary.name, self._path)


def cache_directory() -> Path:
    """Where this user's programs keep what they can make again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "heliostat"
