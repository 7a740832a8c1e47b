"""Prompts' embeddings as files: safetensors, named by what was encoded, not by who asked.

A text's key is its SHA-256; the header names the model, so embeddings of another one are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from node_agent.files import write_atomic
from node_agent.render.renderer import CheckpointError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1

FOLDER_BYTES_MAX = 2 << 30
"""Of embeddings kept on a node's disk, some 2,500 prompts of the real model; the oldest leave."""

_HEADER = "heliostat"


def text_key(text: str) -> str:
    """A cleaned text's name."""
    return hashlib.sha256(text.encode()).hexdigest()


def embeddings_bytes(embeddings: Mapping[str, Tensor], model_digest: str) -> bytes:
    """A file's content: (tokens, text dimension) by text key. Equal embeddings, equal bytes."""
    header = {"format_version": FORMAT_VERSION, "model_digest": model_digest}
    ordered = {key: embeddings[key].contiguous() for key in sorted(embeddings)}
    return save(ordered, {_HEADER: json.dumps(header, sort_keys=True)})


def read_embeddings(path: Path, model_digest: str) -> dict[str, Tensor]:
    """What `embeddings_bytes` wrote. Raises `CheckpointError` for anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable file of embeddings ({error})") from error
    expected = {"format_version": FORMAT_VERSION, "model_digest": model_digest}
    for name, value in expected.items():
        if header.get(name) != value:
            raise CheckpointError(
                f"{path}: {name.replace('_', ' ')} is {header.get(name)!r}, expected {value!r}"
            )
    return found


class EmbeddingFolder:
    """Embeddings on a node's disk, a file for each text. A cache: what is broken is made anew."""

    def __init__(self, folder: Path, model_digest: str, bytes_max: int = FOLDER_BYTES_MAX) -> None:
        self._folder = folder / model_digest[:16]
        self._digest = model_digest
        self._bytes_max = bytes_max

    def read(self, key: str) -> Tensor | None:
        """The embedding of a text; None when it is not there, or cannot be used."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            found = read_embeddings(path, self._digest)[key]
        except (CheckpointError, KeyError):
            logger.warning("%s is damaged: the prompt is encoded again", path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def write(self, key: str, embedding: Tensor) -> None:
        """Keep an embedding; a disk that is full keeps nothing."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path(key), embeddings_bytes({key: embedding}, self._digest))
            self._shrink()
        except OSError as error:
            logger.warning("an embedding could not be kept: %s", error)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"

    def _shrink(self) -> None:
        """Remove the files that were not used for longest, down to the limit."""
        stats = [(path, path.stat()) for path in self._folder.glob("*.safetensors")]
        total = sum(stat.st_size for _, stat in stats)
        for path, stat in sorted(stats, key=lambda each: each[1].st_mtime_ns):
            if total <= self._bytes_max:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
