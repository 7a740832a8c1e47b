"""LoRAs: small changes of the transformer's weights, pinned like a model, added when it is loaded.

They are fused: the rendered clip costs nothing more, and everything after loading is as without
them. A clip with other LoRAs than the clip before has the transformer loaded anew.

peft adds them, weight by weight and on the CPU, between a file and the weight's place: the sums are
the same wherever a weight lives, and what loses bits loses them after it.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import HeliosPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from node_agent.models import MANIFEST_NAME, Manifest, ModelError, load_verified_lora
from node_agent.render.helios.slabs.files import Change, as_it_is
from node_agent.render.renderer import LoraUse, PromptError

logger = logging.getLogger(__name__)


class LoraFolder:
    """The LoRAs of a node: a directory with one for each name."""

    def __init__(self, directory: Path | None, stamps: Path | None) -> None:
        self._directory = directory
        self._stamps = stamps

    def digest(self, model_digest: str, uses: Sequence[LoraUse]) -> str:
        """What a model with these LoRAs is: its own digest when there are none.

        Raises `PromptError` for a LoRA that is not there, or is damaged.
        """
        if not uses:
            return model_digest
        parts = [model_digest]
        for use in uses:
            _, manifest = self._find(use)
            parts.append(f"{manifest.digest}*{use.scale!r}")
        return hashlib.sha256("+".join(parts).encode()).hexdigest()

    def fused(self, transformer: Any, uses: Sequence[LoraUse]) -> Change:
        """What adds LoRAs to the weights of a stock transformer.

        `transformer` is one without memory (meta), which is used up. Raises `PromptError`.
        """
        if not uses:
            return as_it_is
        _stand_in(transformer)
        scales: dict[str, float] = {}
        for use in uses:
            directory, manifest = self._find(use)
            for file in manifest.files:
                if file.path.endswith(".safetensors"):
                    name = f"lora_{len(scales)}"
                    _load(transformer, directory, file.path, name, use)
                    scales[name] = use.scale
        transformer.set_adapters(list(scales), list(scales.values()))
        logger.info("fusing %s", ", ".join(f"{use.name}:{use.scale:g}" for use in uses))
        return _Fusing(transformer, list(scales))

    def _find(self, use: LoraUse) -> tuple[Path, Manifest]:
        if self._directory is None:
            raise PromptError(f"LoRA {use.name}: this node has none; start it with --loras DIR")
        directory = self._directory / use.name
        if not directory.is_dir() or directory.parent != self._directory:
            there = sorted(path.parent.name for path in self._directory.glob(f"*/{MANIFEST_NAME}"))
            raise PromptError(
                f"LoRA {use.name}: not in {self._directory}; there are {', '.join(there) or 'none'}"
            )
        try:
            return directory, load_verified_lora(directory, stamps=self._stamps)
        except ModelError as error:
            raise PromptError(f"LoRA {use.name}: {error}") from error


class _Fusing:
    """A `Change`: weights with the LoRAs that a transformer has."""

    def __init__(self, transformer: Any, names: list[str]) -> None:
        self._names = names
        self._layers: dict[str, Any] = {
            name: layer
            for name, layer in transformer.named_modules()
            if isinstance(layer, BaseTunerLayer)
        }

    def __call__(self, name: str, weights: Tensor, dtype: torch.dtype) -> Tensor:
        path, _, own_name = name.rpartition(".")
        layer = self._layers.get(path)
        if layer is None:
            return weights
        base = layer.get_base_layer()
        whole = nn.Parameter(weights.to(dtype, copy=True), requires_grad=False)
        if own_name == "weight":
            base.weight = whole
            base.bias = nn.Parameter(torch.zeros(len(whole), dtype=dtype), requires_grad=False)
            layer.merge(adapter_names=self._names)
            base.weight = base.bias = None
        else:
            for adapter in self._names:
                if getattr(layer, "lora_bias", {}).get(adapter):
                    whole.data += layer.lora_B[adapter].bias * layer.scaling[adapter]
        return whole.data


def _stand_in(transformer: Any) -> None:
    """Give a transformer weights on the CPU that take no memory: peft puts its own beside them."""
    for name, parameter in list(transformer.named_parameters()):
        path, _, own_name = name.rpartition(".")
        numbers = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
        stands = nn.Parameter(numbers, requires_grad=False)
        setattr(transformer.get_submodule(path), own_name, stands)


def _load(transformer: Any, directory: Path, file: str, name: str, use: LoraUse) -> None:
    try:
        weights = HeliosPipeline.lora_state_dict(
            directory, weight_name=file, local_files_only=True, use_safetensors=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is one already is what we want
            transformer.load_lora_adapter(weights, adapter_name=name)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise PromptError(f"LoRA {use.name}: {file} does not fit this model ({first})") from error
    if name not in getattr(transformer, "peft_config", {}):
        raise PromptError(f"LoRA {use.name}: {file} changes nothing of this model's transformer")
