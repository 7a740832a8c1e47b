"""A model made into one whose weights are stored in fewer bits: half the size, loaded as it is.

Only the blocks' matrices change; every other weight keeps its type, and every other file is the
source's own, linked where the file system can. A block is a file, and memory holds one of them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from node_agent.files import atomic_path, write_atomic
from node_agent.models import Manifest, ModelError, describe, load_verified, write_manifest
from node_agent.models.info import FORMAT, QUANTISED, read_config
from node_agent.models.staging import bytes_to_come, made_there, require_space, staged
from node_agent.models.watch import UNWATCHED, Watch
from node_agent.render.helios.convert import NOTE, go_on, json_bytes
from node_agent.render.helios.quantize import PARTS, empty_parts, matrices, write_parts
from node_agent.render.profiles import Profile

FOLDER: Final = "transformer"
_BLOCK_OF: Final = re.compile(r"blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight of the source."""

    file: Path
    name: str
    size: int
    """Bytes that it will take."""
    loses_bits: bool


def quantise(
    source: Path,
    target: Path,
    profile: Profile,
    *,
    stamps: Path | None = None,
    watch: Watch = UNWATCHED,
) -> Manifest:
    """Quantise the pinned model in `source` to `target`, and pin it; goes on where it stopped.

    Loaded, it is to the last bit what the source is, loaded with the same profile. Raises
    `ModelError` when the source is damaged or quantised, nothing would change, the disk is short,
    or `target` holds something else.
    """
    manifest = load_verified(source, stamps=stamps)
    name, revision = f"{manifest.name}-{profile.name}", f"{manifest.revision}, for {profile.name}"
    if (there := made_there(target, name, revision, stamps)) is not None:
        return there
    shards = _shards(source, profile)
    others = [file.path for file in manifest.files if not _is_weights(file.path)]
    config = f"{FOLDER}/config.json"
    texts = {
        config: json_bytes(read_config(source / config) | {QUANTISED: _said_of(profile)}),
        f"{FOLDER}/{SAFE_WEIGHTS_INDEX_NAME}": _index(shards),
    }
    with staged(target, stamps) as partial:
        note = json_bytes({"source": manifest.digest, "profile": profile.name, "format": FORMAT})
        paths = {*others, *texts, *(f"{FOLDER}/{file}" for file in shards)}
        go_on(partial, note, paths)
        size = sum(_size(weights) for weights in shards.values())
        require_space(partial, bytes_to_come(partial, size))
        watch.begin(f"quantising {manifest.name}", size)
        for path in sorted(paths):
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
        for path in others:
            if path not in texts:
                _link(source / path, partial / path)
        for path, text in texts.items():
            write_atomic(partial / path, text)
        for file, weights in shards.items():
            place = partial / FOLDER / file
            if not place.exists():  # named only when it is whole
                _write(weights, place, profile)
            watch.advance(_size(weights))
        (partial / NOTE).unlink()
        return write_manifest(partial, name=name, revision=revision, stamps=stamps, watch=watch)


def _shards(source: Path, profile: Profile) -> dict[str, list[_Weight]]:
    """What each file of the transformer will hold: the first all but the blocks, then one each."""
    info = describe(source)
    if info.profile:
        raise ModelError(f"{source}: is quantised already, for the profile {info.profile}")
    found: dict[str, Path] = {}
    for file in sorted((source / FOLDER).glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    chosen = set(matrices(found, info.layers, profile))
    if not chosen:
        raise ModelError(
            f"{source}: the profile {profile.name} changes nothing of a model with {info.layers}"
            " blocks; use the model as it is"
        )
    groups: defaultdict[int, list[_Weight]] = defaultdict(list)
    for name, file in found.items():
        block = _BLOCK_OF.match(name)
        number = int(block[1]) + 1 if block else 0
        groups[number].append(_weight(file, name, profile if name in chosen else None))
    stem, ending = SAFETENSORS_WEIGHTS_NAME.rsplit(".", 1)
    return {
        f"{stem}-{number + 1:05}-of-{len(groups):05}.{ending}": weights
        for number, (_, weights) in enumerate(sorted(groups.items()))
    }


def _weight(file: Path, name: str, profile: Profile | None) -> _Weight:
    with safe_open(file, framework="pt") as opened:
        if profile is None:
            return _Weight(file, name, opened.get_tensor(name).nbytes, loses_bits=False)
        parts = empty_parts(opened.get_slice(name).get_shape(), profile, "meta")
        return _Weight(file, name, sum(part.nbytes for part in parts), loses_bits=True)


def _write(weights: Iterable[_Weight], place: Path, profile: Profile) -> None:
    tensors: dict[str, Tensor] = {}
    for weight in weights:
        try:
            with safe_open(weight.file, framework="pt") as opened:
                whole = opened.get_tensor(weight.name)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{weight.file}: {weight.name} cannot be read ({error})") from error
        if not weight.loses_bits:
            tensors[weight.name] = whole
            continue
        parts = empty_parts(whole.shape, profile, "cpu")
        write_parts(parts, whole, torch.device("cpu"))
        tensors |= dict(zip(_names(weight), parts, strict=True))
    with atomic_path(place) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # the library makes it the owner's alone


def _names(weight: _Weight) -> tuple[str, ...]:
    """What the weight is called in its new file, part by part."""
    return tuple(f"{weight.name}.{part}" for part in PARTS) if weight.loses_bits else (weight.name,)


def _index(shards: Mapping[str, list[_Weight]]) -> bytes:
    return json_bytes(
        {
            "metadata": {"total_size": sum(map(_size, shards.values()))},
            "weight_map": {
                name: file
                for file, weights in shards.items()
                for weight in weights
                for name in _names(weight)
            },
        }
    )


def _said_of(profile: Profile) -> dict[str, Any]:
    return {"profile": profile.name, "format": FORMAT}


def _size(weights: Iterable[_Weight]) -> int:
    return sum(weight.size for weight in weights)


def _is_weights(path: str) -> bool:
    """Whether a file is, or describes, what is written anew."""
    return path.startswith(f"{FOLDER}/")


def _link(source: Path, place: Path) -> None:
    """The same file under another name, or a copy of it."""
    place.unlink(missing_ok=True)
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
