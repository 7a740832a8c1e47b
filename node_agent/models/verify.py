"""A model directory held against its manifest, and the writing of one.

Weights are safetensors; anything that could carry code is refused, listed or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node_agent.files import write_atomic
from node_agent.models.info import ModelError, describe
from node_agent.models.manifest import (
    ALLOWED_SUFFIXES,
    LORA,
    MANIFEST_NAME,
    MODEL,
    NAME_RULE,
    Manifest,
    ModelFile,
    is_allowed,
    is_name,
    load_manifest,
)
from node_agent.models.stamps import Stamps
from node_agent.models.watch import UNWATCHED, Watch

WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a model directory."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def write_manifest(
    directory: Path,
    *,
    name: str,
    revision: str,
    stamps: Path | None = None,
    watch: Watch = UNWATCHED,
) -> Manifest:
    """Hash every file of `directory` and write its manifest; replaces an earlier one.

    A directory with weights but without a `model_index.json` is a LoRA. Raises `ModelError` for
    files that a model must not have, and for a directory that is neither.
    """
    if not is_name(name):
        raise ModelError(f"{name!r} is no name for a model; give it {NAME_RULE}")
    if not revision.isprintable():
        raise ModelError(f"{revision!r} is no revision: give it printable text")
    found = sorted(_files(directory))
    refused = []
    for path in found:
        if what := _refusal(directory, path) or _pretence(directory / path):
            refused.append(Problem(path, what))
    if refused:
        raise ModelError(listed(directory, refused))
    kind = _kind(directory, found)
    known = Stamps(stamps)
    watch.begin(f"hashing {name}", sum((directory / path).stat().st_size for path in found))

    def entry(path: str) -> ModelFile:
        file = directory / path
        sha256 = known.sha256(file, watch=watch)
        return ModelFile(path, file.stat().st_size, sha256)

    manifest = Manifest(
        name=name,
        variant=describe(directory).variant if kind == MODEL else "",
        revision=revision,
        files=tuple(entry(path) for path in found),
        kind=kind,
    )
    write_atomic(directory / MANIFEST_NAME, manifest.to_bytes())
    known.save()
    return manifest


def verify(
    directory: Path,
    *,
    stamps: Path | None = None,
    reread: bool = False,
    watch: Watch = UNWATCHED,
) -> list[Problem]:
    """Compare `directory` with its manifest; returns every problem found, none when it is intact.

    `stamps` is a file in which hashes are remembered by size, modification time and inode, so
    that a model of 80 GB is read once and not at every start; with `reread` every byte is read,
    and the file only written. Raises `ModelError` without a readable manifest.
    """
    manifest = load_manifest(directory)
    known = Stamps(stamps)
    watch.begin(f"reading {manifest.name}", manifest.size)

    def judge(file: Path, expected: ModelFile) -> str | None:
        size = file.stat().st_size
        if size != expected.size:
            return f"{size} bytes, the manifest says {expected.size}; fetch the model again"
        if known.sha256(file, reread=reread, watch=watch) != expected.sha256:
            return "its SHA-256 differs from the manifest; fetch the model again"
        return _pretence(file)

    problems = _compare(directory, manifest, judge)
    known.save()
    return problems


def glance(directory: Path, manifest: Manifest, known: Stamps) -> tuple[list[Problem], bool]:
    """What can be told without hashing: problems, and whether every hash is known to be right."""
    unknown = False

    def judge(file: Path, expected: ModelFile) -> str | None:
        nonlocal unknown
        if file.stat().st_size != expected.size:
            return f"not the {expected.size} bytes that the manifest says"
        sha256 = known.known(file)
        unknown = unknown or sha256 is None
        return None if sha256 in (None, expected.sha256) else "its SHA-256 differs"

    problems = _compare(directory, manifest, judge)
    return problems, not problems and not unknown


def load_verified(directory: Path, *, stamps: Path | None = None) -> Manifest:
    """The manifest of an intact model. Raises `ModelError` with every problem otherwise."""
    return _load(directory, MODEL, stamps)


def load_verified_lora(directory: Path, *, stamps: Path | None = None) -> Manifest:
    """The manifest of an intact LoRA. Raises `ModelError` with every problem otherwise.

    Its weights are the `.safetensors` of the manifest, for the caller to read.
    """
    return _load(directory, LORA, stamps)


def _load(directory: Path, kind: str, stamps: Path | None) -> Manifest:
    manifest = load_manifest(directory)
    if manifest.kind != kind:
        raise ModelError(f"{directory}: a {manifest.kind}, where a {kind} is wanted")
    problems = verify(directory, stamps=stamps)
    if problems:
        raise ModelError(listed(directory, problems))
    return manifest


def _kind(directory: Path, found: list[str]) -> str:
    """A model has an index; a LoRA has only weights. Raises `ModelError` for anything else."""
    if "model_index.json" in found:
        return MODEL
    if any(path.endswith(WEIGHTS_SUFFIX) for path in found):
        return LORA
    raise ModelError(
        f"{directory}: no model_index.json, so no model, and no {WEIGHTS_SUFFIX}, so no LoRA;"
        " name the directory that holds them"
    )


def _files(directory: Path) -> Iterator[str]:
    """Every file below `directory` except the manifest; links to directories count as files."""
    for parent, folders, names in os.walk(directory):
        base = Path(parent)
        links = [folder for folder in folders if (base / folder).is_symlink()]
        for name in [*names, *links]:
            path = (base / name).relative_to(directory).as_posix()
            if path != MANIFEST_NAME:
                yield path


def _compare(
    directory: Path, manifest: Manifest, judge: Callable[[Path, ModelFile], str | None]
) -> list[Problem]:
    """Every problem of a directory; `judge` says what is wrong with a file that may be there."""
    expected = {file.path: file for file in manifest.files}
    found = set(_files(directory))
    wrong = dict.fromkeys(expected.keys() - found, "missing; fetch the model again")
    for path in sorted(found):
        what = _refusal(directory, path)
        if what is None and path not in expected:
            what = "not in the manifest; remove it"
        if what := what or judge(directory / path, expected[path]):
            wrong[path] = what
    return [Problem(path, wrong[path]) for path in sorted(wrong)]


def _refusal(directory: Path, path: str) -> str | None:
    """Why a file may not be part of any model, whatever the manifest says."""
    file = directory / path
    if not file.resolve().is_relative_to(directory.resolve()):
        return f"links out of the directory, to {file.resolve()}; copy the file here"
    if not file.is_file():
        return "not a regular file; remove it"
    if not is_allowed(path):
        kinds = " ".join(sorted(ALLOWED_SUFFIXES))
        return f"not a file that a model may have ({kinds}); remove it"
    return None


def _pretence(file: Path) -> str | None:
    """A pickle or anything else under the name of weights is no weights, hashed or not."""
    if file.suffix != WEIGHTS_SUFFIX:
        return None
    from safetensors import SafetensorError, safe_open  # of [node]; commands start without

    try:
        with safe_open(file, framework="np"):  # reads and checks the header alone
            return None
    except SafetensorError as error:
        return f"not safetensors, whatever its name says ({error}); remove or replace it"


def listed(directory: Path, problems: list[Problem]) -> str:
    """The message for a directory that cannot be used."""
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{directory}: {len(problems)} problem(s) with this model{lines}"
