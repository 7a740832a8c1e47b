"""LoRAs: small changes of the transformer's weights, pinned like a model, added when it is loaded.

They are fused: the rendered clip costs nothing more, and everything after loading is as without
them. A clip with other LoRAs than the clip before has the transformer loaded anew.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import HeliosPipeline

from node_agent.models import MANIFEST_NAME, Manifest, ModelError, load_verified_lora
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

    def fuse(self, transformer: Any, uses: Sequence[LoraUse]) -> None:
        """Add LoRAs to a stock transformer's weights. Raises `PromptError`."""
        scales: dict[str, float] = {}
        for use in uses:
            directory, manifest = self._find(use)
            for file in manifest.files:
                if file.path.endswith(".safetensors"):
                    name = f"lora_{len(scales)}"
                    _load(transformer, directory, file.path, name, use)
                    scales[name] = use.scale
        if scales:
            transformer.set_adapters(list(scales), list(scales.values()))
            transformer.fuse_lora(adapter_names=list(scales))
            transformer.unload_lora()
            logger.info("fused %s", ", ".join(f"{use.name}:{use.scale:g}" for use in uses))

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
