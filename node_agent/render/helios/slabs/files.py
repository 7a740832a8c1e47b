"""A transformer's weights from safetensors files, each into its place.

Files are mapped, and read one tensor at a time; the cast to the place's type is part of the copy,
and so is quantising it. So loading takes the memory that the weights have in the end, and one
tensor more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import HeliosTransformer3DModel
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from node_agent.models import ModelError
from node_agent.models.info import QUANTISED, read_config
from node_agent.render.helios.quantize import PARTS, is_quantised, put, write

Change = Callable[[str, Tensor, torch.dtype], Tensor]
"""A whole weight by its name, of any type, as it is to be loaded; the type is its place's."""


def empty_transformer(config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """A stock transformer whose weights have shapes and types, and take no memory.

    What the model itself keeps in float32 is float32, as when diffusers loads it.
    """
    with init_empty_weights():
        known = {name: value for name, value in config.items() if name != QUANTISED}
        stock = HeliosTransformer3DModel.from_config(known)
    kept = set(HeliosTransformer3DModel._keep_in_fp32_modules)
    for name, parameter in list(stock.named_parameters()):
        path, _, own_name = name.rpartition(".")
        its = dtype if kept.isdisjoint(name.split(".")) else torch.float32
        typed = nn.Parameter(parameter.to(its), requires_grad=False)
        setattr(stock.get_submodule(path), own_name, typed)
    return stock.eval()


def as_it_is(_name: str, weights: Tensor, _dtype: torch.dtype) -> Tensor:
    """The `Change` that changes nothing."""
    return weights


def fill(
    directory: Path,
    into: Mapping[str, Tensor],
    worker: torch.device,
    change: Change = as_it_is,
    *,
    stored: bool = False,
) -> None:
    """Write the weights of the files in `directory` into places by name.

    Where a place is of fewer bits, `worker` is the device that quantises; weights that are `stored`
    quantised are taken as they are. Raises `ModelError`, with file and tensor, for a weight that is
    missing or another than the configuration says.
    """
    names = {name: _stored_names(name, place, stored) for name, place in into.items()}
    where = _files_of(directory, [each for stored_as in names.values() for each in stored_as])
    for name, place in into.items():
        found = [_read(where[each], each) for each in names[name]]
        what = f"{where[names[name][0]]}: {name}"
        if len(found) > 1:
            put(place, dict(zip(PARTS, found, strict=True)))
        else:
            write(place, change(name, _checked(found[0], place, what), place.dtype), worker)


def _stored_names(name: str, place: Tensor, stored: bool) -> tuple[str, ...]:
    """What the files call a weight, or the parts of a quantised one."""
    if stored and is_quantised(place):
        return tuple(f"{name}.{part}" for part in PARTS)
    return (name,)


def _read(file: Path, name: str) -> Tensor:
    try:
        # Opened for each: what is mapped counts as this process's memory until it is closed.
        with safe_open(file, framework="pt") as opened:
            weights: Tensor = opened.get_tensor(name)
            return weights
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file}: {name} cannot be read ({error}); fetch the model again"
        ) from error


def _files_of(directory: Path, names: Iterable[str]) -> dict[str, Path]:
    """The file of each weight, by the index of the shards, or the only one there is."""
    index = directory / SAFE_WEIGHTS_INDEX_NAME
    only = directory / SAFETENSORS_WEIGHTS_NAME
    if index.is_file():
        shards = read_config(index).get("weight_map", {})
        files = {name: directory / shards[name] for name in names if name in shards}
        missing = next((name for name in names if name not in files), None)
        if missing is not None:
            raise ModelError(f"{index}: {missing} is missing; fetch the model again")
        return files
    return dict.fromkeys(names, only)


def _checked(weights: Tensor, place: Tensor, what: str) -> Tensor:
    if weights.shape != place.shape:
        raise ModelError(
            f"{what} has the shape {tuple(weights.shape)}, and the model's configuration says"
            f" {tuple(place.shape)}; fetch the model again"
        )
    if weights.is_floating_point() != place.is_floating_point():
        raise ModelError(
            f"{what} is of type {weights.dtype}, where {place.dtype} is expected; only models that"
            " are not quantised can be loaded"
        )
    return weights
