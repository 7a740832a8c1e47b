"""A model is a local directory whose every file matches its manifest.

The manifest is a JSON file beside the weights. Its digest names the model: clips are bound to
it, so two nodes with the same digest hold the same bytes. Weights are safetensors; anything that
could carry code is refused, listed or not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from node_agent.files import sha256_of_file, write_atomic
from node_agent.model_info import (
    MAX_PROMPT_TOKENS,
    ModelError,
    ModelInfo,
    describe,
    read_config,
)

__all__ = [
    "MANIFEST_NAME",
    "MAX_PROMPT_TOKENS",
    "Manifest",
    "ModelError",
    "ModelFile",
    "ModelInfo",
    "Problem",
    "describe",
    "load_manifest",
    "load_verified",
    "verify",
    "write_manifest",
]

MANIFEST_NAME = "heliostat-manifest.json"
FORMAT_VERSION = 1

ALLOWED_SUFFIXES = frozenset({".json", ".md", ".model", ".safetensors", ".txt"})
ALLOWED_NAMES = frozenset({".gitattributes", "LICENSE", "NOTICE"})


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model, by its path relative to the directory (with forward slashes)."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    """Lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model directory must hold, no more and no less."""

    name: str
    variant: str
    """"distilled", "mid" or "base"."""
    revision: str
    """Where the weights come from: a commit of the hub, or how they were generated."""
    files: tuple[ModelFile, ...]
    """Sorted by path."""
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the model's identity."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a model directory."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def write_manifest(directory: Path, *, name: str, revision: str) -> Manifest:
    """Hash every file of `directory` and write its manifest; replaces an earlier one.

    Raises `ModelError` for files that a model must not have.
    """
    found = sorted(_files(directory))
    refused = [problem for path in found if (problem := _refusal(directory, path))]
    if refused:
        raise ModelError(_listed(directory, refused))
    manifest = Manifest(
        name=name,
        variant=describe(directory).variant,
        revision=revision,
        files=tuple(
            ModelFile(path, (directory / path).stat().st_size, sha256_of_file(directory / path))
            for path in found
        ),
    )
    text = json.dumps(asdict(manifest), sort_keys=True, indent=2) + "\n"
    write_atomic(directory / MANIFEST_NAME, text.encode())
    return manifest


def load_manifest(directory: Path) -> Manifest:
    """Read the manifest of `directory`. Raises `ModelError` when there is none, or it is broken."""
    path = directory / MANIFEST_NAME
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{path}: format version {version!r}, this node reads {FORMAT_VERSION};"
                " write the manifest again with this version of heliostat"
            )
        files = tuple(ModelFile(**entry) for entry in fields.pop("files"))
        manifest = Manifest(files=files, **fields)
    except FileNotFoundError:
        raise ModelError(f"{path}: no manifest; this is not a prepared model directory") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: not a manifest ({error}); write it again") from error
    for file in files:
        _check_entry(path, file)
    return manifest


def verify(directory: Path, *, stamps: Path | None = None) -> list[Problem]:
    """Compare `directory` with its manifest; returns every problem found, none when it is intact.

    `stamps` is a file in which hashes are remembered by size, modification time and inode, so
    that a model of 80 GB is read once and not at every start. Raises `ModelError` without a
    readable manifest.
    """
    expected = {file.path: file for file in load_manifest(directory).files}
    found = set(_files(directory))
    known = _Stamps(stamps)
    problems = [Problem(path, "missing; fetch the model again") for path in expected.keys() - found]
    for path in found:
        if refusal := _refusal(directory, path):
            problems.append(refusal)
        elif path not in expected:
            problems.append(Problem(path, "not in the manifest; remove it"))
        elif damage := _damage(directory / path, expected[path], known):
            problems.append(Problem(path, damage))
    known.save()
    return sorted(problems, key=lambda problem: problem.path)


def load_verified(directory: Path, *, stamps: Path | None = None) -> Manifest:
    """The manifest of an intact model. Raises `ModelError` with every problem otherwise."""
    problems = verify(directory, stamps=stamps)
    if problems:
        raise ModelError(_listed(directory, problems))
    return load_manifest(directory)


def _files(directory: Path) -> Iterator[str]:
    """Every file below `directory` except the manifest; links to directories count as files."""
    for parent, folders, names in os.walk(directory):
        base = Path(parent)
        links = [folder for folder in folders if (base / folder).is_symlink()]
        for name in [*names, *links]:
            path = (base / name).relative_to(directory).as_posix()
            if path != MANIFEST_NAME:
                yield path


def _refusal(directory: Path, path: str) -> Problem | None:
    """Why a file may not be part of any model, whatever the manifest says."""
    file = directory / path
    if not file.resolve().is_relative_to(directory.resolve()):
        return Problem(path, f"links out of the directory, to {file.resolve()}; copy the file here")
    if not file.is_file():
        return Problem(path, "not a regular file; remove it")
    if file.suffix not in ALLOWED_SUFFIXES and file.name not in ALLOWED_NAMES:
        kinds = " ".join(sorted(ALLOWED_SUFFIXES))
        return Problem(path, f"not a file that a model may have ({kinds}); remove it")
    return None


def _damage(file: Path, expected: ModelFile, known: _Stamps) -> str | None:
    size = file.stat().st_size
    if size != expected.size:
        return f"{size} bytes, the manifest says {expected.size}; fetch the file again"
    if known.sha256(file) != expected.sha256:
        return "its SHA-256 differs from the manifest; fetch the file again"
    return None


def _check_entry(manifest: Path, file: ModelFile) -> None:
    """A manifest may only name files below its directory."""
    parts = PurePosixPath(file.path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ModelError(f"{manifest}: {file.path!r} lies outside the model's directory")


def _listed(directory: Path, problems: list[Problem]) -> str:
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{directory}: {len(problems)} problem(s) with this model{lines}"


class _Stamps:
    """Hashes of files that have not changed since they were read; kept in one JSON file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        if path is not None and path.exists():
            with contextlib.suppress(ModelError):  # a cache: broken, it is made again
                self._known = read_config(path)

    def sha256(self, file: Path) -> str:
        stat = file.stat()
        now = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        key = str(file.resolve())
        entry = self._known.get(key)
        if entry is None or entry[:3] != now:
            entry = self._known[key] = [*now, sha256_of_file(file)]
        return str(entry[3])

    def save(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, json.dumps(self._known).encode())
