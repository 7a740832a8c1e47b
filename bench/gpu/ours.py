"""Our loop: a profile under a cap of memory, in lanes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from bench.gpu.cases import Case, Group
from bench.gpu.parts import Profile
from bench.gpu.scale import Scale
from bench.gpu.slow_link import Link
from node_agent.render.bench import around, chunks
from node_agent.render.bench.figures import Record, figure
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.bench.options import Options
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.profiles import PROFILES
from node_agent.render.renderer import CHUNK_FRAMES, RenderedChunk


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
        precisions = ("float32", "bfloat16") if device.type == "cuda" else ("float32",)
        self._vaes = [self._model.decoder(precision) for precision in precisions]
        placement = self._model.placement
        self.about: Record = {
            "blocks": placement.blocks,
            "blocks_resident": placement.resident,
            "bytes_streamed_per_pass": placement.bytes_streamed,
        }

    def measure(self, case: Case, trace: Path | None) -> Record:
        """One case; where it is asked for, a trace of one round is written."""
        timed = [Round(self._device) for _ in range(case.rounds)]
        profile = Profile(self._device, self._vaes) if case.parts else None
        watches: Iterator[Round | Profile] = iter([*timed, *([profile] if profile else [])])
        record, chunk = self._rounds(case, case.rounds + case.parts, lambda: next(watches))
        seconds = figure([each.seconds / case.lanes for each in timed])
        measured = {
            "arithmetic": record["arithmetic"],
            "vae": record["vae"],
            "seconds_per_chunk": seconds,
            "frames_per_second": CHUNK_FRAMES / seconds["median"],
            "stages": record["stages"],
            **by_round(timed),
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


class Round:
    """Times a round, and watches memory, within its `with` block."""

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


def by_round(rounds: Iterable[Round]) -> Record:
    """Peaks of memory of each round: the host's of the process, and in use on the machine."""
    seen = [each.memory for each in rounds]
    return {
        "bytes_rss_by_round": [each.bytes_rss_peak for each in seen],
        "bytes_ram_by_round": [each.bytes_ram_peak for each in seen],
        "bytes_vram_by_round": [each.bytes_vram_peak for each in seen],
    }
