"""Our loop: a profile under a cap of memory, in lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from bench.gpu.cases import Case, Group
from bench.gpu.parts import Profile
from bench.gpu.scale import Scale
from bench.gpu.slow_link import Link
from node_agent.render.bench import around, chunks
from node_agent.render.bench.figures import REPEATS_MIN, Record
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
            profile=PROFILES[group.subject],
            order_on=link.order_on,
        )
        self._prompts = PromptEncoder(self._model)
        self._encoded: Record | None = None
        placement = self._model.placement
        self.about: Record = {"blocks": placement.blocks, "blocks_resident": placement.resident}

    def measure(self, case: Case, trace: Path | None) -> Record:
        """One case; where it is asked for, a trace of one round is written."""
        watches: list[MemoryWatch] = []

        def watched() -> MemoryWatch:
            watches.append(MemoryWatch(self._device))
            return watches[-1]

        record, chunk = self._rounds(case, case.rounds, watched)
        measured = {
            "arithmetic": record["arithmetic"],
            "vae": record["vae"],
            "seconds_per_chunk": record["seconds_per_chunk"],
            "frames_per_second": record["frames_per_second"],
            "stages": record["stages"],
            **by_round(watches),
            "encode_seconds_per_chunk": self._encode_seconds(chunk),
        }
        if case.parts:
            measured["parts"] = self._profiled(case, str(record["vae"]), trace)
        return measured

    def _encode_seconds(self, chunk: RenderedChunk) -> Record:
        """Measured once: it does not depend on how a chunk was rendered."""
        if self._encoded is None:
            self._encoded = around.encode(chunk.frames)["seconds_per_chunk"]
        return self._encoded

    def _profiled(self, case: Case, vae: str, trace: Path | None) -> Record:
        """Of the last of the fewest rounds that there can be."""
        seen = Profile(self._device, [self._model.decoder(vae)])
        plain = [MemoryWatch(self._device) for _ in range(REPEATS_MIN - 1)]
        watches = iter([*plain, seen])
        self._rounds(case, REPEATS_MIN, lambda: next(watches))
        if trace is not None:
            seen.write(trace)
        return seen.record()

    def _rounds(
        self, case: Case, rounds: int, watch: Callable[[], AbstractContextManager[object]]
    ) -> tuple[Record, RenderedChunk]:
        options = Options(
            model=None,
            device=str(self._device),
            width=self._scale.width,
            height=self._scale.height,
            steps=(case.steps,),
            lanes=(case.lanes,),
            chunks=rounds,
            threads=torch.get_num_threads(),
        )
        return chunks.measure(
            self._model, self._prompts, options, case.steps, case.lanes, around=watch
        )


def by_round(watches: Iterable[MemoryWatch]) -> Record:
    """Peaks of memory of each round: the host's of the process, and in use on the machine."""
    seen = list(watches)
    return {
        "bytes_rss_by_round": [each.bytes_rss_peak for each in seen],
        "bytes_ram_by_round": [each.bytes_ram_peak for each in seen],
        "bytes_vram_by_round": [each.bytes_vram_peak for each in seen],
    }
