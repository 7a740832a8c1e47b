"""Stock diffusers Helios: the baseline that every claim of speed is held against.

Streamed is diffusers' group offloading of the transformer as published: leaf by leaf, with a stream
and `record_stream`; the VAE stays on the card, in float32. Random weights tell speed and memory,
not quality. The pipeline renders a whole clip in one call, so a chunk's time is told from outside:
from the first pass of one to the first pass of the next, decode included.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from diffusers import HeliosDMDScheduler, HeliosPyramidPipeline

from bench.gpu.cases import Case, Group
from bench.gpu.ours import by_round
from bench.gpu.parts import Profile
from bench.gpu.scale import Scale
from bench.gpu.slow_link import Link, group_offloading_over
from node_agent.models import ModelError
from node_agent.render.bench.figures import Record, figure
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.helios.group_offload import STREAMED_BYTES, pinned_bytes
from node_agent.render.helios.model import hide_progress_bars
from node_agent.render.helios.placement import Caps, Room, room
from node_agent.render.helios.slabs.plan import WORKING_BYTES
from node_agent.render.renderer import CHUNK_FRAMES

GAMMA = 0.3333
"""With the real 1/3 the stock code's factorisation may raise."""
PROMPT_TOKENS = 512


class Stock:
    """The pipeline, loaded, without a text encoder. Raises `ModelError` where it does not fit."""

    def __init__(self, group: Group, scale: Scale, device: torch.device, link: Link) -> None:
        hide_progress_bars()
        parts, dtype = scale.parts(), scale.dtype(device)
        caps = Caps(scale.cap_bytes(group.cap, device) if group.cap else None)
        caps.hold(device)
        weights = parts.transformer_bytes(dtype)
        if device.type == "cuda":
            check_room(weights, room(device, caps), group.streamed)
        home = torch.device("cpu") if group.streamed else device
        self._pipeline: Any = HeliosPyramidPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=parts.vae().to(device).eval(),
            transformer=parts.transformer(dtype, home).eval(),
            scheduler=HeliosDMDScheduler(use_dynamic_shifting=True, gamma=GAMMA),
            is_distilled=True,
        )
        self._pipeline.set_progress_bar_config(disable=True)
        if group.streamed:
            self._pipeline.transformer.enable_group_offload(
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="leaf_level",
                use_stream=device.type == "cuda",
                record_stream=device.type == "cuda",
            )
        self._scale, self._device, self._link = scale, device, link
        blocks = len(self._pipeline.transformer.blocks)
        self.about: Record = {
            "blocks": blocks,
            "blocks_resident": 0 if group.streamed else blocks,
            "bytes_streamed_per_pass": weights if group.streamed else 0,
        }

    def measure(self, case: Case, trace: Path | None) -> Record:
        """One case; where it is asked for, a trace of one chunk is written."""
        seen = Profile(self._device, [self._pipeline.vae]) if case.parts else None
        marks = _Marks(self._device, sum(case.steps), case.rounds, seen)
        hook = self._pipeline.transformer.register_forward_pre_hook(marks.before_pass)
        try:
            with group_offloading_over(self._link), suppress(_Enough), marks.watches:
                self._render(case, marks.chunks)
        finally:
            hook.remove()
        seconds = figure([each.seconds for each in marks.rounds])
        record: Record = {
            "arithmetic": str(self._pipeline.transformer.dtype).removeprefix("torch."),
            "vae": "float32",
            "seconds_per_chunk": seconds,
            "frames_per_second": CHUNK_FRAMES / seconds["median"],
            **by_round(each.memory for each in marks.rounds),
        }
        if seen is not None:
            record["parts"] = seen.record()
            if trace is not None:
                seen.write(trace)
        return record

    def _render(self, case: Case, chunks: int) -> None:
        transformer = self._pipeline.transformer
        shape = (1, PROMPT_TOKENS, transformer.config.text_dim)
        embeddings = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(7))
        self._pipeline(
            prompt_embeds=embeddings.to(self._device, transformer.dtype),
            height=self._scale.height,
            width=self._scale.width,
            num_frames=CHUNK_FRAMES * chunks,
            guidance_scale=1.0,
            pyramid_num_inference_steps_list=list(case.steps),
            is_amplify_first_chunk=False,  # all chunks cost the same
            generator=torch.Generator(self._device).manual_seed(7),
            output_type="pt",
        )


class _Enough(Exception):
    """Everything is measured; the clip need not go on."""


class _Round:
    """Times a chunk, and watches memory, within its `with` block."""

    def __init__(self, device: torch.device) -> None:
        self.memory = MemoryWatch(device)
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self.memory.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        self.memory.__exit__(kind, error, trace)


class _Marks:
    """Tells a clip's chunks apart: one warms up, then some are timed, and one may be profiled."""

    def __init__(
        self, device: torch.device, passes: int, timed: int, profile: Profile | None
    ) -> None:
        self._device, self._every, self._timed, self._profile = device, passes, timed, profile
        self._passes = 0
        self.watches = ExitStack()
        """What is open, in the chunk that is rendered."""
        self.rounds: list[_Round] = []
        """Those that were timed."""

    @property
    def chunks(self) -> int:
        """That the clip has to have; of the last one no pass is made."""
        return 1 + self._timed + bool(self._profile) + 1

    def before_pass(self, _module: Any, _inputs: Any) -> None:
        """A hook of the transformer."""
        chunk, within = divmod(self._passes, self._every)
        self._passes += 1
        if within == 0 and chunk > 0:
            self._chunk_begins(chunk)

    def _chunk_begins(self, chunk: int) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.watches.close()
        if chunk <= self._timed:
            self.rounds.append(_Round(self._device))
            self.watches.enter_context(self.rounds[-1])
        elif chunk == self._timed + 1 and self._profile is not None:
            self.watches.enter_context(self._profile)
        else:
            raise _Enough


def check_room(size: int, free: Room, streamed: bool) -> None:
    """Raise `ModelError`, with numbers, where `size` bytes of weights do not fit."""
    vram = (STREAMED_BYTES if streamed else size) + WORKING_BYTES
    ram = pinned_bytes(size) if streamed else 0
    if vram > free.vram or ram > free.ram:
        raise ModelError(
            f"the transformer ({size / 1e9:.1f} GB) takes {vram / 1e9:.1f} GB of the card's memory"
            f" and {ram / 1e9:.1f} GB of the host's; {free.vram / 1e9:.1f} and"
            f" {free.ram / 1e9:.1f} GB are free"
        )
