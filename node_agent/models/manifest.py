"""The manifest of a model or LoRA: what its directory must hold, no more and no less.

It is a JSON file beside the weights. Its digest names the model: clips are bound to it, so two
nodes with the same digest hold the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from node_agent.models.info import ModelError

MANIFEST_NAME = "heliostat-manifest.json"
FORMAT_VERSION = 1

MODEL = "model"
LORA = "lora"

ALLOWED_SUFFIXES = frozenset({".json", ".md", ".model", ".safetensors", ".txt"})
ALLOWED_NAMES = frozenset({".gitattributes", "LICENSE", "NOTICE"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    """"distilled", "mid" or "base"; empty for a LoRA, which does not say what it was made for."""
    revision: str
    """Where the weights come from: a commit of the hub, or how they were generated."""
    files: tuple[ModelFile, ...]
    """Sorted by path."""
    kind: str = MODEL
    """`MODEL` or `LORA`."""
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the model's identity."""
        canonical = json.dumps(self._fields(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """The manifest's file."""
        return (json.dumps(self._fields(), sort_keys=True, indent=2) + "\n").encode()

    def _fields(self) -> dict[str, Any]:
        """A model's kind goes unsaid: models pinned before there were LoRAs keep their digest."""
        fields = asdict(self)
        if self.kind == MODEL:
            del fields["kind"]
        return fields


def load_manifest(directory: Path) -> Manifest:
    """Read the manifest of `directory`. Raises `ModelError` when there is none, or it is broken."""
    path = directory / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"{path}: no manifest; this is not a prepared model directory"
            " (`farm-node model pin` writes one for weights that are there)"
        ) from None
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read a manifest; `where` names it in messages. Raises `ModelError` when it is broken."""
    try:
        fields: dict[str, Any] = json.loads(content)
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{where}: format version {version!r}, this node reads {FORMAT_VERSION};"
                " write the manifest again with this version of heliostat"
            )
        files = tuple(ModelFile(**entry) for entry in fields.pop("files"))
        manifest = Manifest(files=files, **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{where}: not a manifest ({error}); write it again") from error
    _check(manifest, where)
    return manifest


def is_name(text: object) -> bool:
    """Whether a model may be called so: it becomes a directory's name, and part of an address."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_allowed(path: str) -> bool:
    """Whether a model may have a file of this name; anything that could carry code is out."""
    pure = PurePosixPath(path)
    return pure.suffix in ALLOWED_SUFFIXES or pure.name in ALLOWED_NAMES


def is_digest(text: str) -> bool:
    """Whether this is a manifest's whole digest."""
    return _SHA256.fullmatch(text) is not None


def _check(manifest: Manifest, where: str) -> None:
    if manifest.kind not in (MODEL, LORA):
        raise ModelError(f"{where}: of the kind {manifest.kind!r}; there are {MODEL} and {LORA}")
    if not is_name(manifest.name):
        raise ModelError(f"{where}: {manifest.name!r} is no name for a model; {NAME_RULE}")
    texts = (manifest.variant, manifest.revision)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ModelError(f"{where}: variant and revision must be printable text; write it again")
    paths = [file.path for file in manifest.files]
    if len(set(paths)) < len(paths):
        raise ModelError(f"{where}: names a file twice; write it again")
    for file in manifest.files:
        _check_entry(where, file)


NAME_RULE = "letters, digits, dots, hyphens and underscores, at most 100, a letter or digit first"


def check_path(where: str, path: str) -> None:
    """Raises `ModelError` unless a path lies below the directory, by one way of writing it."""
    parts = PurePosixPath(str(path))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ModelError(f"{where}: {path!r} lies outside the model's directory")
    if path != parts.as_posix() or not path.isprintable() or path == MANIFEST_NAME:
        raise ModelError(f"{where}: {path!r} is no proper path of a model's file")


def _check_entry(where: str, file: ModelFile) -> None:
    check_path(where, file.path)
    if type(file.size) is not int or file.size < 0:
        raise ModelError(f"{where}: {file.path}: {file.size!r} is no size in bytes")
    if not isinstance(file.sha256, str) or not _SHA256.fullmatch(file.sha256):
        raise ModelError(f"{where}: {file.path}: {file.sha256!r} is no SHA-256")
