"""The parts of what we ship: the distributions of a lock, with licences and native libraries.

Facts come from the distributions that are installed here, in the locked version, and from
requirements/parts.toml, which holds what their metadata does not say.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "requirements"
RELEASED: Final = ("client", "coordinator", "node")
"""What a release has: the wheel without extras, and the two images; each has a lock of its name."""

ALIASES: Final = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "LGPLv3": "LGPL-3.0-only",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What older metadata writes, and what it means."""

READ: Final = {"torchao": "BSD-3-Clause"}
"""Their metadata names none; somebody has read the licence file that comes with them."""

_LIBRARY: Final = re.compile(r"^lib(?!.*\.(cpython-\d+|abi3)\b).*\.so[.0-9]*$|\.jar$")
_HASHES_AND_ENDING: Final = re.compile(r"(-[0-9a-f]{8})+(?=\.)|\.so[.0-9]*$|\.jar$")
_TEXT: Final = re.compile(r"(?i)(^|/)[^/]*(licen[sc]e|copying|notice)[^/]*$")
_LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:\s*\\\n\s+--hash=sha256:\w+)+)", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Something that a distribution bundles: a native library, or a Python library of others."""

    name: str
    licence: str
    """SPDX; "" when nobody knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of what is shipped."""

    name: str
    version: str
    licence: str
    """SPDX; "" when nobody knows it."""
    texts: tuple[str, ...] = ()
    """Where its licence is to be read, within the wheel; or its source's address."""
    libraries: tuple[Library, ...] = ()
    sha256: tuple[str, ...] = ()
    """Of the files that the lock accepts."""
    python: bool = True
    """A Python distribution."""


def normal(name: str) -> str:
    """A distribution's name as locks write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def facts(path: Path = REQUIREMENTS / "parts.toml") -> dict[str, Any]:
    """What is written down by hand."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def locked(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name → version and SHA-256 hashes, as a lock has them."""
    found = {
        name: (version, tuple(re.findall(r"sha256:(\w+)", hashes)))
        for name, version, hashes in _LOCKED.findall(path.read_text(encoding="utf-8"))
    }
    assert found, f"{path}: no locked distribution"
    return found


def licence_of(distribution: Distribution) -> str:
    """The SPDX expression that a distribution's metadata amounts to; "" when it names none."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    if metadata["Name"] in READ:
        return READ[metadata["Name"]]
    written = "".join(metadata.get_all("License") or [])
    classifiers = [
        entry.rsplit(" :: ", 1)[1]
        for entry in metadata.get_all("Classifier") or []
        if entry.startswith("License :: ") and "DFSG" not in entry
    ]
    # A short text names the licence; a long one is the licence, and the classifiers name it.
    if "\n" not in written and (
        written in ALIASES or re.fullmatch(r"[\w.-]+( (OR|AND) .+)?", written)
    ):
        return ALIASES.get(written, written)
    return " OR ".join(ALIASES.get(name, name) for name in classifiers) or written[:60]


@functools.cache
def _here() -> dict[str, Distribution]:
    """What is installed here."""
    return {normal(each.name): each for each in distributions()}


@functools.cache
def _read(
    distribution: Distribution,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Library, ...]]:
    """Licence texts, native libraries and Python libraries of others within a distribution."""
    files = [str(path) for path in distribution.files or ()]
    bundled = {_stem(path) for path in files if _LIBRARY.search(path.rpartition("/")[2])}
    texts = sorted(path for path in files if _is_text(path))
    return tuple(texts), tuple(sorted(bundled)), _vendored(distribution, files)


def _installed(distribution: Distribution, known: Mapping[str, Any]) -> Part:
    name, licence = normal(distribution.name), licence_of(distribution)
    texts, bundled, vendored = _read(distribution)
    return Part(
        name=name,
        version=distribution.version,
        licence=licence,
        texts=texts,
        libraries=(*_libraries(name, licence, bundled, known), *vendored),
    )


def parts_of(
    released: str,
    known: Mapping[str, Any],
    lock: Path | None = None,
    installed: Iterable[Distribution] | None = None,
) -> list[Part]:
    """The parts of one of `RELEASED`, by name. Raises LookupError for one of unknown licence."""
    here = {normal(each.name): each for each in installed} if installed else _here()
    found = []
    for name, (version, sha256) in locked(lock or REQUIREMENTS / f"{released}.lock").items():
        part = _recorded(name, version, known)
        if part is None and name in here and here[name].version == version:
            part = _installed(here[name], known)
        if part is None:
            raise LookupError(
                f"{released}: {name} {version} is neither installed here nor written down in"
                " requirements/parts.toml: look into its wheel, and write down what it has"
            )
        libraries = () if name in known["from-source"].get(released, ()) else part.libraries
        found.append(_with(part, libraries, sha256))
    built = [each for each in known["built"] if each["image"] == released]
    found += [
        Part(
            name=each["name"],
            version=each["version"],
            licence=each["licence"],
            texts=(each["source"],),
            sha256=(each["sha256"],) if "sha256" in each else (),
            python=False,
        )
        for each in built
    ]
    return sorted(found, key=lambda part: part.name)


def _recorded(name: str, version: str, known: Mapping[str, Any]) -> Part | None:
    said = known["recorded"].get(name)
    if said is None or said["version"] != version:
        return None
    return Part(
        name=name,
        version=version,
        licence=said["licence"],
        texts=tuple(said["texts"]),
        libraries=_libraries(name, said["licence"], said["libraries"], known),
    )


def _with(part: Part, libraries: tuple[Library, ...], sha256: tuple[str, ...]) -> Part:
    return Part(
        name=part.name, version=part.version, licence=part.licence, texts=part.texts,
        libraries=libraries, sha256=sha256,
    )  # fmt: skip


def _libraries(
    name: str, licence: str, bundled: Iterable[str], known: Mapping[str, Any]
) -> tuple[Library, ...]:
    """Native libraries with their licences; the distribution's own are under its own."""
    own = [p for who, patterns in known["own"].items() if fnmatch(name, who) for p in patterns]
    return tuple(
        Library(
            name=library,
            licence=licence
            if any(fnmatch(library, pattern) for pattern in own)
            else known["libraries"].get(library, ""),
        )
        for library in sorted(bundled)
    )


def _vendored(distribution: Distribution, files: Iterable[str]) -> tuple[Library, ...]:
    """Python distributions within a distribution, such as those of Ray's agents."""
    inner = [path for path in files if re.search(r".+/[^/]+\.dist-info/METADATA$", path)]
    found = {
        Path(str(distribution.locate_file(path))).parent for path in inner if path.count("/") > 1
    }
    each = [Distribution.at(path) for path in sorted(found)]
    return tuple(
        Library(name=f"{inside.name} {inside.version}", licence=licence_of(inside))
        for inside in each
    )


def _stem(path: str) -> str:
    return _HASHES_AND_ENDING.sub("", path.rpartition("/")[2])


def _is_text(path: str) -> bool:
    return bool(_TEXT.search(path)) and ".dist-info/" in path and not path.endswith(".py")
