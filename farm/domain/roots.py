"""Shared storage by name: `show:/plates/sh010.png`, wherever each machine has `show` mounted.

A root has one directory for each operating system, so that `P:\\show\\plates\\sh010.png` on one
desk and `/mnt/show/plates/sh010.png` on another are one place. Nothing is read here: paths are put
in order lexically, and the node that opens a file resolves its links first.
"""

from __future__ import annotations

import difflib
import ntpath
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from farm.domain.values import BadValue, shown

SYSTEMS: Final = ("linux", "windows", "macos")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{1,31}")
"""At least two characters: one alone is a drive of Windows."""
_PLACE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{1,31}):(?![/\\]{2})(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A directory of shared storage, by its name."""

    name: str
    linux: str = ""
    """Where it is mounted there; empty where it is not."""
    windows: str = ""
    macos: str = ""

    @property
    def directories(self) -> dict[str, str]:
        """By operating system."""
        found = asdict(self)
        return {system: found[system] for system in SYSTEMS if found[system]}


def roots_of(said: Mapping[str, Mapping[str, str]]) -> tuple[Root, ...]:
    """Roots as the settings have them: name → operating system → directory. Raises ValueError."""
    return tuple(_root(name, dict(directories)) for name, directories in sorted(said.items()))


def system_of(platform: str) -> str:
    """One of `SYSTEMS`, of a `sys.platform`."""
    return {"win32": "windows", "darwin": "macos"}.get(platform, "linux")


def rooted(text: str, roots: Sequence[Root]) -> str | None:
    """`NAME:/PATH` of a path that lies below a root as some operating system spells it.

    None where it lies below none. Of roots within each other the innermost counts.
    """
    found: list[tuple[int, str]] = []
    for root in roots:
        for system, directory in root.directories.items():
            if below := _below(text, directory, system):
                found.append((len(directory), f"{root.name}:/{below}"))
    return max(found)[1] if found else None


def is_place(text: str) -> bool:
    """The text names a root, rightly or wrongly: `NAME:` with two letters or more, no `//`."""
    return _PLACE.fullmatch(text) is not None


def place_below(text: str, roots: Sequence[Root]) -> str:
    """`NAME:/PATH` in order, of a text that `is_place`. Raises `BadValue`."""
    match = _PLACE.fullmatch(text)
    name, path = (match[1].lower(), match[2]) if match else ("", "")
    names = [root.name for root in roots]
    if name not in names:
        raise BadValue(f"the farm has no root {shown(name)}", _names_there_are(name, names))
    if "\\" in path:
        raise BadValue(f"{shown(text)} holds a \\", f"write it with /: {name}:/FOLDER/FILE")
    if not path.startswith("/"):
        raise BadValue(f"{shown(text)} has no / after its root", f"write {name}:/FOLDER/FILE")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadValue(f"{shown(text)} leads upwards", "write it without ..")
    if not parts or path.endswith("/"):
        raise BadValue(f"{shown(text)} names no file", f"write {name}:/FOLDER/FILE")
    return f"{name}:/{'/'.join(parts)}"


def _names_there_are(name: str, names: Sequence[str]) -> str:
    if not names:
        return "set `roots` in the farm's farm.toml, or give the file's own path"
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there is {', '.join(sorted(names)[:20])}"


def _root(name: str, directories: dict[str, str]) -> Root:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a root: 2 to 32 of a-z, 0-9, - and _, a letter or digit first"
        )
    if unknown := directories.keys() - set(SYSTEMS):
        raise ValueError(f"{name}: {min(unknown)!r} is none of {', '.join(SYSTEMS)}")
    if not any(directories.values()):
        raise ValueError(f'{name} has no directory: write linux = "/mnt/{name}", or another one')
    for system, directory in directories.items():
        if directory and not _is_absolute(directory, system):
            raise ValueError(f"{name}: {directory!r} is no absolute path of {system}")
    return Root(name=name, **directories)


def _below(text: str, directory: str, system: str) -> str:
    """Where a path leads from a directory that it lies in, with `/`; else empty."""
    if system == "windows":  # it knows no case, and both slashes
        path, base = ntpath.normpath(text), ntpath.normpath(directory).rstrip("\\") + "\\"
        is_below = path[: len(base)].lower() == base.lower()
        return path[len(base) :].replace("\\", "/") if is_below else ""
    path, base = _posix(text), _posix(directory).rstrip("/") + "/"
    return path.removeprefix(base) if path.startswith(base) else ""


def _posix(text: str) -> str:
    path = posixpath.normpath(text)
    return "/" + path.lstrip("/") if path.startswith("/") else path


def _is_absolute(directory: str, system: str) -> bool:
    if system == "windows":
        drive, rest = ntpath.splitdrive(directory)
        return bool(drive) and (rest[:1] in ("\\", "/") or drive.startswith("\\\\"))
    return directory.startswith("/")
