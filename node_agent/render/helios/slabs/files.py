"""A transformer's weights from safetensors files, each into its place.

Files are mapped, and read one tensor at a time; the cast to the place's type is part of the copy.
So loading takes the memory that the weights have in the end, and one tensor more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import HeliosTransformer3DModel
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from node_agent.models import ModelError
from node_agent.models.info import read_config


def empty_transformer(config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """A stock transformer whose weights have shapes and types, and take no memory.

    What the model itself keeps in float32 is float32, as when diffusers loads it.
    """
    with init_empty_weights():
        stock = HeliosTransformer3DModel.from_config(dict(config))
    kept = set(HeliosTransformer3DModel._keep_in_fp32_modules)
    for name, parameter in list(stock.named_parameters()):
        path, _, own_name = name.rpartition(".")
        its = dtype if kept.isdisjoint(name.split(".")) else torch.float32
        typed = nn.Parameter(parameter.to(its), requires_grad=False)
        setattr(stock.get_submodule(path), own_name, typed)
    return stock.eval()


def fill(directory: Path, into: Mapping[str, Tensor]) -> None:
    """Write the weights of the files in `directory` into places by name.

    Raises `ModelError`, with file and tensor, for a weight that is missing or another than the
    configuration says.
    """
    where = _files_of(directory, into)
    for name, place in into.items():
        try:
            # Opened for each: what is mapped counts as this process's memory until it is closed.
            with safe_open(where[name], framework="pt") as file:
                place.copy_(_checked(file.get_tensor(name), place, f"{where[name]}: {name}"))
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{where[name]}: {name} cannot be read ({error}); fetch the model again"
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
