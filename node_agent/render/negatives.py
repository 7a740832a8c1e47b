"""A negative as a file: safetensors, with where it comes from in its header.

The same negative always gives the same bytes, so its SHA-256 can name it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from node_agent.files import write_atomic
from node_agent.render.profiles import profile_in
from node_agent.render.renderer import CheckpointError, Negative, PromptMark

FORMAT_VERSION = 2
"""2 added what came before chunk 0, changes of prompt, and a hash; 1 is still read."""

_READABLE = (1, FORMAT_VERSION)

_HEADER = "heliostat"
"""The one metadata key; safetensors writes several in an order that changes from run to run."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which chunk a negative is, and what rendered it."""

    chunk: int
    model_digest: str
    stack_id: str
    """The whole one, which ends with the profile. Another stack may go on from here, close instead
    of bit-equal."""


def write_negative(path: Path, negative: Negative, origin: Origin) -> None:
    """Write `negative` to `path` in one step: after a crash there is all of it, or nothing."""
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "latents": np.ascontiguousarray(negative.latents),
        "generator_state": np.frombuffer(negative.generator_state, dtype=np.uint8),
    }
    for name in ("anchor", "before"):
        given = getattr(negative, name)
        if given is not None:
            tensors[name] = np.ascontiguousarray(given)
    header: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "sha256": _sha256(tensors),
        "steered": [asdict(mark) for mark in negative.steered],
        **asdict(origin),
    }
    write_atomic(path, save(tensors, {_HEADER: json.dumps(header, sort_keys=True)}))


def read_negative(path: Path, *, chunk: int, model_digest: str) -> Negative:
    """Read a negative, and make sure that it is the one expected.

    Raises `CheckpointError` for a file that is missing, cut short, of another kind, model or chunk.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable negative ({error})") from error
    if header.get("format_version") not in _READABLE:
        _check(path, header, {"format_version": FORMAT_VERSION})
    _check(path, header, {"chunk": chunk, "model_digest": model_digest})
    if header.get("sha256", _sha256(tensors)) != _sha256(tensors):
        raise CheckpointError(f"{path}: damaged, its content is not what was written")
    try:
        latents, state = tensors["latents"], tensors["generator_state"]
        steered = tuple(PromptMark(**mark) for mark in header.get("steered", ()))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: the negative lacks {error}") from None
    if latents.dtype != np.float32 or latents.ndim != 5:
        raise CheckpointError(f"{path}: latents are {latents.dtype} {latents.shape}")
    given = {name: tensors.get(name) for name in ("anchor", "before")}
    profile = profile_in(header.get("stack_id", ""))
    return Negative(latents, state.tobytes(), **given, steered=steered, profile=profile)


def _sha256(tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Of all tensors' bytes, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _check(path: Path, header: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if header.get(name) != value:
            raise CheckpointError(
                f"{path}: {name.replace('_', ' ')} is {header.get(name)!r}, expected {value!r};"
                " this negative belongs to something else"
            )
