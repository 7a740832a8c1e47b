"""A Helios model in memory, on one device, from the parts of a verified directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers.utils import logging as transformers_logging

from node_agent.models import ModelError, ModelInfo
from node_agent.render.helios.card import Card, marks_of
from node_agent.render.helios.cross_attention import PromptProjections
from node_agent.render.helios.fusion import Fusion, fusion_for, stack_words
from node_agent.render.helios.loras import LoraFolder
from node_agent.render.helios.parts import ModelFiles, Parts, PromptReader
from node_agent.render.helios.placement import Caps, Placement, give_back, plan_for, room
from node_agent.render.helios.slabs.homes import Homes, Parted
from node_agent.render.helios.slabs.plan import Plan, resident
from node_agent.render.helios.slabs.streamer import Streamer
from node_agent.render.helios.slabs.streams import OrderOn, order_on
from node_agent.render.helios.transformer import lean
from node_agent.render.profiles import EXACT, Profile
from node_agent.render.renderer import LoraUse
from node_agent.render.work_clock import WorkClock

TILE, TILE_STRIDE = 256, 192
"""Pixels of a tile's side, and from one tile to the next: 64 are blended between two."""

logger = logging.getLogger(__name__)


class HeliosModel:
    """The parts of a Helios model, on one device. The text encoder is there only while it works."""

    placement: Placement
    """Where the transformer's weights live."""

    def __init__(
        self,
        source: Path | Parts,
        device: torch.device,
        *,
        dtype: torch.dtype | None = None,
        stamps: Path | None = None,
        loras: Path | None = None,
        vram_bytes: int | None = None,
        ram_bytes: int | None = None,
        streamed: bool = False,
        pageable: bool = False,
        compiled: bool | None = None,
        profile: Profile = EXACT,
        order_on: OrderOn = order_on,
    ) -> None:
        """Load the parts, or those of a directory, which is verified first.

        `dtype` is by default bfloat16 on a GPU and float32 on a CPU, whose bfloat16 arithmetic is
        many times slower; what the model itself keeps in float32 stays so. `stamps` is a file that
        remembers the hashes of a directory between starts, `loras` a directory of pinned LoRAs.
        `vram_bytes` and `ram_bytes` are the most that may be taken of either memory, None is what
        is free; `streamed` keeps as few of the transformer's blocks on the device as can be, and
        `pageable` streams them from ordinary memory instead of page-locked. On a CPU all is
        resident, unless `vram_bytes` rehearses a GPU of that size. `compiled` is as in
        `fusion_for`. `profile` is what is loaded first, `order_on` makes what orders the copies of
        weights. Raises `ModelError` when files do not match the manifest, or do not fit.
        """
        hide_progress_bars()
        parts = ModelFiles(source, stamps=stamps) if isinstance(source, Path) else source
        self.manifest = parts.manifest
        self.info: ModelInfo = parts.info
        self.device = device
        self.card = Card(device, page_locked=not pageable)
        self.clock = WorkClock(marks_of(device))
        """Passes and decodes are its work."""
        self.dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        self._parts = parts
        self.tokenizer = parts.tokenizer()
        self.schedule = parts.schedule()
        """HeliosDMDScheduler (Distilled) or HeliosScheduler (Base, Mid); set anew in each stage."""
        self.vae = parts.vae().to(device).eval().requires_grad_(False)
        """AutoencoderKLWan in float32, which encodes images and videos and decodes exactly."""
        self._decoders: dict[str, Any] = {"float32": self.vae}
        self._caps = Caps(vram_bytes, ram_bytes)
        self._caps.hold(device)
        self.tight = self._caps.tight(device)
        """Whether it has so little memory that it decodes in tiles."""
        self._streamed = streamed
        self._page_locked = not pageable
        self._order_on = order_on
        self._compiled = compiled
        self.stack_words = stack_words(device, self.dtype, compiled)
        """What a stack id says of how blocks are run."""
        self._lora_folder = LoraFolder(loras, stamps)
        self.profile = profile
        """What the transformer is loaded for now."""
        self.loras: tuple[LoraUse, ...] = ()
        """What is fused into it now."""
        self._loaded: tuple[Any, PromptProjections] | None = None
        self._streamer: Streamer | None = None
        self._load_transformer()

    @property
    def transformer(self) -> Any:
        """A `LeanTransformer`; loaded again if the text encoder needed its place."""
        return self._load()[0]

    @property
    def projections(self) -> PromptProjections:
        """What of the transformer a prompt meets once."""
        return self._load()[1]

    @property
    def distilled(self) -> bool:
        """Whether the schedule predicts clean latents and noises them again."""
        return self.info.variant == "distilled"

    @property
    def pyramid(self) -> bool:
        """Whether a chunk is denoised over stages of growing size."""
        return self.info.variant != "base"

    @cached_property
    def latent_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and reciprocal deviation of the VAE's latents, (1, channels, 1, 1, 1), float32.

        Dividing by the reciprocal is not multiplying by the deviation, to the last bit.
        """
        config = self.vae.config
        mean, deviation = (
            self.card.bring(torch.tensor(values).view(1, config.z_dim, 1, 1, 1))
            for values in (config.latents_mean, config.latents_std)
        )
        return mean, 1.0 / deviation

    def decoder(self, vae: str) -> Any:
        """What decodes, one of `recipe.VAES`; made when it is first asked for.

        Raises `ModelError` for a tiny one that the model does not have.
        """
        if vae not in self._decoders:
            self._decoders[vae] = self._make_decoder(vae)
        return self._decoders[vae]

    @torch.inference_mode(mode=False)  # as the transformer
    def _make_decoder(self, vae: str) -> Any:
        if vae == "tiny":
            dtype = torch.float32 if self.device.type == "cpu" else torch.bfloat16
            return self._parts.tiny_vae().to(self.device, dtype)
        if vae == "bfloat16-tiled":
            tiled = copy(self.decoder("bfloat16"))  # the same weights
            tiled.enable_tiling(TILE, TILE, TILE_STRIDE, TILE_STRIDE)
            return tiled
        quick = AutoencoderKLWan.from_config(self.vae.config)
        quick.load_state_dict(self.vae.state_dict())
        return quick.to(self.device, torch.bfloat16).eval().requires_grad_(False)

    @contextmanager
    def text_encoder(self) -> Iterator[PromptReader]:
        """The text encoder, for the time of a `with` block.

        Where there is no room for both, the transformer goes, and is loaded again when it is
        needed. Raises `ModelError` where there is no room for the text encoder alone.
        """
        encoder = self._parts.text_encoder(self.tokenizer, self.dtype, self.device, self._caps)
        try:
            encoder.check_room()
        except ModelError:
            logger.info("the transformer makes room for the text encoder")
            self._drop_transformer()
        with encoder as reader:
            yield reader

    def digest(self, loras: Sequence[LoraUse]) -> str:
        """The model's digest, with these LoRAs. Raises `PromptError` for one that is not there."""
        return self._lora_folder.digest(self.manifest.digest, loras)

    def use(self, profile: Profile, loras: tuple[LoraUse, ...] = ()) -> None:
        """Have the transformer as `profile` runs it, with just these LoRAs; loads it anew for that.

        Raises `PromptError` for a LoRA, `ModelError` where it does not fit.
        """
        if (profile, loras) != (self.profile, self.loras):
            self.profile, self.loras = profile, loras
            self._load_transformer()

    def _load(self) -> tuple[Any, PromptProjections]:
        return self._loaded or self._load_transformer()

    @torch.inference_mode(mode=False)  # weights are ordinary tensors, whoever asks for them
    def _load_transformer(self) -> tuple[Any, PromptProjections]:
        self._drop_transformer()
        stock = self._parts.empty_transformer(self.dtype)
        plan = self._plan(stock)
        homes = Homes(stock, plan, self.device, page_locked=self._page_locked)
        try:
            self._parts.fill(stock.state_dict())
            self._lora_folder.fuse(stock, self.loras)
            transformer = lean(stock.requires_grad_(False))
            projections = PromptProjections(transformer).requires_grad_(False)
            self._fusion().apply(transformer)
            self._streamer = homes.stream(transformer, self._order_on)
        except BaseException:  # whoever asks next has it loaded, when this one is out of memory
            homes.close()
            self.loras = ()
            raise
        if self._streamer is not None:
            transformer.weights = self._streamer
        give_back(self.device)
        self._loaded = transformer, projections
        return self._loaded

    def _drop_transformer(self) -> None:
        self._loaded = None
        if self._streamer is not None:
            self._streamer.close()
            self._streamer = None
        give_back(self.device)

    def _fusion(self) -> Fusion:
        lossy = self.profile.lossy
        return fusion_for(self.device, self.dtype, compiled=self._compiled, lossy_attention=lossy)

    def _plan(self, stock: Any) -> Plan:
        sizes = Parted.of(stock).sizes
        if self.device.type == "cpu" and self._caps.vram is None:
            plan = resident(sizes)
        else:
            plan = plan_for(sizes, room(self.device, self._caps), streamed=self._streamed)
        self.placement = Placement(len(sizes.blocks), plan.resident, plan.bytes_streamed)
        logger.info(
            "transformer of %.1f GB: %s; weights take %.1f GB of GPU memory and %.1f GB of the"
            " host's",
            *(sizes.total / 1e9, self.placement, plan.vram_bytes / 1e9, plan.ram_bytes / 1e9),
        )
        return plan


def hide_progress_bars() -> None:
    """Bars of the libraries would land in an agent's log; the farm has its own."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
