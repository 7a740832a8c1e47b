"""What surrounds a chunk's passes: the VAE's decode, the encode, copies between host and device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from node_agent.encode import Segment, encode_segment, encoder_id
from node_agent.render.bench.figures import Record, figure, seconds_of
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.helios.decode import decode
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.recipe import VAES
from node_agent.render.renderer import Frames, RenderedChunk

REPEATS = 3
COPY_BYTES = 256 << 20
"""Large enough that a copy's start does not count: 20 ms over PCIe 4.0 x8."""
FPS = 24


def decodes(model: HeliosModel, chunk: RenderedChunk) -> list[Record]:
    """A chunk's latents to bytes on the host, with each VAE that the device renders with."""
    assert chunk.negative is not None
    latents = torch.from_numpy(chunk.negative.latents).to(model.device)
    precisions = [each for each in VAES if each != "tiny" or model.info.tiny_vae]
    if model.device.type != "cuda":
        precisions = ["float32"]
    return [_decode(model, latents, precision) for precision in precisions]


@torch.inference_mode()
def _decode(model: HeliosModel, latents: Tensor, precision: str) -> Record:
    with MemoryWatch(model.device) as memory:
        seconds = seconds_of(lambda: decode(model, latents, precision), REPEATS)
    return {"precision": precision, "seconds_per_chunk": figure(seconds), **memory.record()}


def encode(frames: Frames) -> Record:
    """A chunk's frames to a segment, by one thread, as a clip's are."""
    segments: list[Segment] = []
    seconds = seconds_of(
        lambda: segments.append(encode_segment(frames, start_frame=0, fps=FPS)), REPEATS
    )
    return {
        "encoder": encoder_id(),
        "seconds_per_chunk": figure(seconds),
        "bytes_per_chunk": len(segments[0].media),
    }


def copies(device: torch.device) -> Record:
    """Rates of copies between the host and a GPU."""
    pageable = torch.empty(COPY_BYTES, dtype=torch.uint8)
    pinned = pageable.pin_memory()
    there = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    return {
        "bytes_copied": COPY_BYTES,
        "bytes_per_second_to_device_pinned": _rate(device, lambda: there.copy_(pinned)),
        "bytes_per_second_to_device_pageable": _rate(device, lambda: there.copy_(pageable)),
        "bytes_per_second_to_host_pinned": _rate(device, lambda: pinned.copy_(there)),
    }


def _rate(device: torch.device, copy: Callable[[], object]) -> Record:
    def run() -> None:
        copy()
        torch.cuda.synchronize(device)

    return figure([COPY_BYTES / seconds for seconds in seconds_of(run, REPEATS)])
