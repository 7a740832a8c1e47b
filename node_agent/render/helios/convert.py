"""A stock download made into the farm's own artifact, once: weights cast, everything hashed.

The hub's weights are float32, twice what any card works with: a converted model takes half the
disk and half the time to load, and loads to the same bits. What the model itself keeps in float32
stays so, and so does the whole VAE.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from diffusers import HeliosTransformer3DModel
from transformers import UMT5EncoderModel

from node_agent.files import write_atomic
from node_agent.models import Manifest, ModelError, load_verified, write_manifest
from node_agent.models.info import read_config
from node_agent.models.staging import (
    bytes_to_come,
    made_there,
    remove_others,
    require_space,
    staged,
)
from node_agent.models.watch import UNWATCHED, Watch
from node_agent.render.helios.shards import Shard, any_nonzero, plan_shard, write_shard

NOTE: Final = "conversion.json"
"""In an unfinished directory: what it is to become."""
EMBEDDINGS: Final = ("shared.weight", "encoder.embed_tokens.weight")
"""UMT5's token embeddings: one tensor under two names, of which a file may have either."""


class Type(StrEnum):
    """What weights can be cast to."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


_CODES: Final = {Type.BFLOAT16: "BF16", Type.FLOAT16: "F16"}


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that is to be written, by path."""

    shards: dict[str, Shard]
    texts: dict[str, bytes]
    """Files that say what has changed: configurations and indexes of shards."""
    copies: dict[str, int]
    """Everything else, with its size in bytes."""

    @property
    def paths(self) -> set[str]:
        return {*self.shards, *self.texts, *self.copies}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        shards = sum(shard.size for shard in self.shards.values())
        return shards + sum(map(len, self.texts.values())) + sum(self.copies.values())


def convert(
    source: Path,
    target: Path,
    *,
    dtype: Type = Type.BFLOAT16,
    stamps: Path | None = None,
    watch: Watch = UNWATCHED,
) -> Manifest:
    """Convert the pinned model in `source` to `target`, and pin it; goes on where it stopped.

    Memory holds a block of one tensor. Raises `ModelError` when the source is damaged or has no
    token embeddings, when the disk is short, or when `target` holds something else.
    """
    manifest = load_verified(source, stamps=stamps)
    name = f"{manifest.name}-{dtype}"
    revision = f"{manifest.revision}, converted to {dtype}"
    if (there := made_there(target, name, revision, stamps)) is not None:
        return there
    _check_embeddings(source, manifest)
    plan = _plan(source, manifest, dtype)
    with staged(target, stamps) as partial:
        note = json.dumps({"source": manifest.digest, "dtype": dtype}).encode()
        go_on(partial, note, plan.paths)
        require_space(partial, bytes_to_come(partial, plan.size + len(note)))
        _write(source, partial, plan, watch, f"converting {manifest.name}")
        (partial / NOTE).unlink()
        return write_manifest(partial, name=name, revision=revision, stamps=stamps, watch=watch)


def keeps_float32(path: str, dtype: Type) -> list[str] | None:
    """The modules of a part, by the file's folder, that stay in float32; None for the whole part.

    The rules are the libraries' own, so that a model converted and then loaded is the same as one
    loaded in `dtype`.
    """
    match path.partition("/")[0]:
        case "transformer":
            return list(HeliosTransformer3DModel._keep_in_fp32_modules or ())
        case "text_encoder":
            kept = list(UMT5EncoderModel._keep_in_fp32_modules_strict or ())
            if dtype is Type.FLOAT16:  # they would leave its range; bfloat16 has float32's
                kept += UMT5EncoderModel._keep_in_fp32_modules or ()
            return kept
        case _:
            return None


def _plan(source: Path, manifest: Manifest, dtype: Type) -> _Plan:
    shards = {
        file.path: _shard(source / file.path, keeps_float32(file.path, dtype), _CODES[dtype])
        for file in manifest.files
        if file.path.endswith(".safetensors")
    }
    texts, copies = {}, {}
    for file in manifest.files:
        if file.path in shards:
            continue
        if file.path.endswith(".safetensors.index.json"):
            texts[file.path] = _index(source, file.path, shards)
        elif file.path == "text_encoder/config.json":
            texts[file.path] = _config(source / file.path, dtype)
        else:
            copies[file.path] = file.size
    return _Plan(shards, texts, copies)


def _shard(file: Path, kept: list[str] | None, code: str) -> Shard:
    def target_type(name: str) -> str:
        stays = kept is None or not set(kept).isdisjoint(name.split("."))
        return "F32" if stays else code

    try:
        return plan_shard(file, target_type)
    except ValueError as error:
        raise ModelError(f"{error}; only a model that is not quantised can be converted") from error


def _index(source: Path, path: str, shards: dict[str, Shard]) -> bytes:
    """The index of a part's shards, with the size that they will have together."""
    index = read_config(source / path)
    folder = path.rpartition("/")[0]
    names = set(index.get("weight_map", {}).values())
    total = sum(shards[f"{folder}/{name}"].weights for name in names)
    index["metadata"] = {**index.get("metadata", {}), "total_size": total}
    return json_bytes(index)


def _config(file: Path, dtype: Type) -> bytes:
    """transformers loads in the type that its configuration names, unless told otherwise."""
    config = read_config(file)
    config.pop("torch_dtype", None)  # its older name
    return json_bytes({**config, "dtype": str(dtype)})


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """As configurations are written."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _write(source: Path, partial: Path, plan: _Plan, watch: Watch, what: str) -> None:
    watch.begin(what, sum(shard.weights for shard in plan.shards.values()))
    for path in sorted(plan.paths):
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
    for path, text in plan.texts.items():
        write_atomic(partial / path, text)
    for path in plan.copies:
        shutil.copyfile(source / path, partial / path)
    for path, shard in plan.shards.items():
        place = partial / path
        if place.exists() and place.stat().st_size == shard.size:  # named only when it was whole
            watch.advance(shard.weights)
        else:
            write_shard(shard, place, watch.advance)


def go_on(partial: Path, note: bytes, paths: set[str]) -> None:
    """Keep what an earlier run of the same work has finished, and nothing else."""
    same = (partial / NOTE).exists() and (partial / NOTE).read_bytes() == note
    remove_others(partial, paths if same else set())
    write_atomic(partial / NOTE, note)


def _check_embeddings(source: Path, manifest: Manifest) -> None:
    """Some checkpoints have token embeddings that are all zero: every prompt would be the same."""
    found = []
    for file in manifest.files:
        if file.path.startswith("text_encoder/") and file.path.endswith(".safetensors"):
            names = {
                tensor.name for tensor in plan_shard(source / file.path, lambda _: "F32").tensors
            }
            found += [(file.path, name) for name in EMBEDDINGS if name in names]
    if not found:
        raise ModelError(f"{source}/text_encoder: has no token embeddings; fetch the model again")
    for path, name in found:
        if not any_nonzero(source / path, name):
            raise ModelError(
                f"{source}/{path}: the token embeddings ({name}) are zeros; save the text encoder"
                " again with the version of transformers that this node runs"
            )
