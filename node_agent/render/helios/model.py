"""A Helios model in memory, on one device, from the parts of a verified directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers.utils import logging as transformers_logging

from node_agent.models import ModelError, ModelInfo
from node_agent.render.helios.card import Card, marks_of
from node_agent.render.helios.cross_attention import PromptProjections
from node_agent.render.helios.device import check_profile
from node_agent.render.helios.fusion import Fusion, fusion_for, stack_words
from node_agent.render.helios.loras import LoraFolder
from node_agent.render.helios.offer import Offer
from node_agent.render.helios.parts import ModelFiles, Parts, PromptReader
from node_agent.render.helios.placement import Caps, Placement, give_back, room
from node_agent.render.helios.quantize import lay_out
from node_agent.render.helios.slabs.homes import Homes
from node_agent.render.helios.slabs.plan import Plan
from node_agent.render.helios.slabs.streamer import Streamer
from node_agent.render.helios.slabs.streams import OrderOn, order_on
from node_agent.render.helios.transformer import lean
from node_agent.render.helios.vaes import Vaes
from node_agent.render.profiles import PROFILES, Profile
from node_agent.render.renderer import LoraUse, PromptError
from node_agent.render.work_clock import WorkClock

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
        profile: Profile | None = None,
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
        `fusion_for`, `order_on` makes what orders the copies of weights. `profile` is the only one
        that is offered, None is all that the device allows. Raises `ModelError` when the device
        cannot render, files do not match, or do not fit.
        """
        hide_progress_bars()
        parts = _verified(source, device, profile, stamps)
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
        self._vaes = Vaes(parts, device)
        self.vae = self._vaes.exact
        self._caps = caps = Caps(vram_bytes, ram_bytes)
        caps.hold(device)
        self._offer = Offer(
            parts=parts,
            device=device,
            dtype=self.dtype,
            room=lambda: room(device, caps),
            capped=vram_bytes is not None,
            streamed=streamed,
        )
        self.profiles = self._offer.profiles(profile)
        """Names of what can be rendered with here, the best first."""
        self._page_locked = not pageable
        self._order_on = order_on
        self._compiled = compiled
        self.stack_words = stack_words(device, self.dtype, compiled)
        """What a stack id says of how blocks are run."""
        self._lora_folder = LoraFolder(loras, stamps)
        self.profile = PROFILES[self.profiles[0]]
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
    def fusion(self) -> Fusion:
        """How its blocks run."""
        lossy = self.profile.lossy
        return fusion_for(self.device, self.dtype, compiled=self._compiled, lossy_attention=lossy)

    @property
    def tight(self) -> bool:
        """Whether the device has so little memory that it decodes in tiles."""
        return self._caps.tight(self.device)

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
        """See `Vaes.decoder`."""
        return self._vaes.decoder(vae)

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
        """The model's digest, with these LoRAs. Raises `PromptError` for one that cannot be."""
        if loras and self.info.profile:
            raise PromptError(
                f"LoRA {loras[0].name}: it is added to whole weights, and this model's are stored"
                f" for the profile {self.info.profile}; use the model that it was quantised from"
            )
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
        try:
            plan = self._plan()
            change = self._lora_folder.fused(self._parts.empty_transformer(self.dtype), self.loras)
            stock = self._parts.empty_transformer(self.dtype)
            lay_out(stock, self.profile)
            homes = Homes(stock, plan, self.device, page_locked=self._page_locked)
        except BaseException:
            self.loras = ()
            raise
        try:
            self._parts.fill(stock.state_dict(), self.device, change)
            transformer = lean(stock.requires_grad_(False))
            projections = PromptProjections(transformer).requires_grad_(False)
            self.fusion.apply(transformer)
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

    def _plan(self) -> Plan:
        plan = self._offer.plan(self.profile)
        sizes = plan.sizes
        self.placement = Placement(len(sizes.blocks), plan.resident, plan.bytes_streamed)
        logger.info(
            "transformer of %.1f GB (%s): %s; weights take %.1f GB of GPU memory and %.1f GB of the"
            " host's",
            *(
                sizes.total / 1e9,
                self.profile.name,
                self.placement,
                plan.vram_bytes / 1e9,
                plan.ram_bytes / 1e9,
            ),
        )
        return plan


def _verified(
    source: Path | Parts, device: torch.device, profile: Profile | None, stamps: Path | None
) -> Parts:
    if profile is not None:
        check_profile(device, profile)  # before 80 GB are read to verify them
    return ModelFiles(source, stamps=stamps) if isinstance(source, Path) else source


def hide_progress_bars() -> None:
    """Bars of the libraries would land in an agent's log; the farm has its own."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
