"""Our loop: a profile under a cap of memory, in lanes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from bench.gpu.cases import Case, Group
from bench.gpu.parts import Profile
from bench.gpu.scale import Scale
from bench.gpu.slow_link import Link
from node_agent.render.bench import around, chunks
from node_agent.render.bench.figures import Record
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.bench.options import Options
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.profiles import PROFILES
from node_agent.render.renderer import RenderedChunk


class Ours:
    """One profile, loaded. Raises `ModelError` where it does not fit."""

    def __init__(self, group: Group, scale: Scale, device: torch.device, link: Link) -> None:
        cap = scale.cap_bytes(group.cap, device) if group.cap else None
        self._scale = scale
        self._device = device
        self._model = HeliosModel(
            scale.parts(),
            device,
            vram_bytes=cap,
            compiled=False if group.eager else None,
            profile=PROFILES[group.subject],
            order_on=link.order_on,
        )
        self._prompts = PromptEncoder(self._model)
        self._encoded: Record | None = None
        precisions = ("float32", "bfloat16") if device.type == "cuda" else ("float32",)
        self._vaes = [self._model.decoder(precision) for precision in precisions]
        placement = self._model.placement
        self.about: Record = {
            "blocks": placement.blocks,
            "blocks_resident": placement.resident,
            "bytes_streamed_per_pass": placement.bytes_streamed,
            "stack_words": list(self._model.stack_words),
        }

    def measure(self, case: Case, trace: Path | None) -> Record:
        """One case; where it is asked for, a trace of one round is written."""
        memory: list[MemoryWatch] = []

        def watch() -> MemoryWatch:
            memory.append(MemoryWatch(self._device))
            return memory[-1]

        profile = Profile(self._device, self._vaes) if case.parts else None
        record, chunk = chunks.measure(
            self._model,
            self._prompts,
            self._options(case),
            case.steps,
            case.lanes,
            watch=watch,
            apart=profile,
        )
        kept = ("arithmetic", "vae", "seconds_per_chunk", "frames_per_second", "stages")
        measured = {
            **{name: record[name] for name in kept},
            **by_round(memory),
            "encode_seconds_per_chunk": self._encode_seconds(chunk),
        }
        if profile is not None:
            measured["parts"] = profile.record()
            if trace is not None:
                profile.write(trace)
        return measured

    def _encode_seconds(self, chunk: RenderedChunk) -> Record:
        """Measured once: it does not depend on how a chunk was rendered."""
        if self._encoded is None:
            self._encoded = around.encode(chunk.frames)["seconds_per_chunk"]
        return self._encoded

    def _options(self, case: Case) -> Options:
        return Options(
            model=None,
            device=str(self._device),
            width=self._scale.width,
            height=self._scale.height,
            steps=(case.steps,),
            lanes=(case.lanes,),
            chunks=case.rounds,
            threads=torch.get_num_threads(),
        )


def by_round(memory: Iterable[MemoryWatch]) -> Record:
    """Peaks of memory of each round: the host's of the process, and in use on the machine."""
    seen = list(memory)
    return {
        "bytes_rss_by_round": [each.bytes_rss_peak for each in seen],
        "bytes_ram_by_round": [each.bytes_ram_peak for each in seen],
        "bytes_vram_by_round": [each.bytes_vram_peak for each in seen],
    }
