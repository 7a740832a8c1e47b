"""A clip on a GPU stops within a pass, keeps to itself, leaves as bytes, and goes on anywhere."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from node_agent.render.helios import decode
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.negatives import Origin, write_negative
from node_agent.render.renderer import RenderCancelled
from tests.gpu.compare import latents_of, latents_snr_db, psnr_db
from tests.node.helios.stock import STOCK_GAMMA
from tests.node.helios.waiting import whole_chunks

RESUME_CHILD = Path(__file__).parents[1] / "node" / "helios" / "resume_child.py"
LANES_DB_MIN = {"cpu": 90, "cuda": 30}
"""Float32 on a CPU, bfloat16 on a GPU: matrix products of more rows may sum in another order."""
VAE_DB_MIN = 30


@pytest.mark.parametrize("passes", [1, 2])
def test_a_cancelled_clip_stops_within_a_pass(device, model_on, quick, start, passes):
    """Cancelled in the midst of a pass: that one ends, and no other begins."""
    model, begun, cancelled = model_on(device), [], []

    def begin(_module, _inputs):
        begun.append(len(begun))
        if len(begun) == passes:
            cancelled.append(True)

    clip = start(model, quick())
    with model.transformer.register_forward_pre_hook(begin), pytest.raises(RenderCancelled):
        clip.step(lambda: bool(cancelled))
    assert len(begun) == passes
    assert clip.next_chunk == 0


def test_a_clip_in_company_is_close_to_the_clip_alone(device, model_on, quick, start, rendered):
    from node_agent.render.helios.lanes import render_chunks

    model = model_on(device)
    specs = [quick(seed=seed, prompt=f"A film about {seed} foxes") for seed in range(3)]
    alone = [rendered(model, spec) for spec in specs]
    clips = [start(model, spec) for spec in specs]
    rounds = [whole_chunks(render_chunks(model, clips, lambda _clip: False)) for _ in range(2)]
    for lane, chunks in enumerate(alone):
        together = [made[lane] for made in rounds]
        closeness = latents_snr_db(latents_of(together), latents_of(chunks))
        assert closeness >= LANES_DB_MIN[device.type]
        for one, other in zip(together, chunks, strict=True):
            assert one.negative.generator_state == other.negative.generator_state


def test_frames_leave_the_device_as_bytes(device, model_on, quick, start, monkeypatch):
    left, to_bytes = [], decode.to_bytes

    def watched(video):
        left.append(to_bytes(video))
        return left[-1]

    monkeypatch.setattr(decode, "to_bytes", watched)
    chunk = start(model_on(device), quick()).step(lambda: False)
    [frames] = left
    assert (frames.dtype, frames.device) == (torch.uint8, device)
    assert chunk.frames.dtype == np.uint8
    assert np.array_equal(frames.permute(1, 2, 3, 0).cpu().numpy(), chunk.frames)


@torch.inference_mode()
def test_a_vae_in_bfloat16_is_close_to_one_in_float32(
    device, model_on, quick, start, record_property
):
    model = model_on(device, dtype=torch.float32)
    negative = start(model, quick()).step(lambda: False).negative
    latents = torch.from_numpy(negative.latents).to(device)
    exact, quicker = (decode.decode(model, latents, kind) for kind in ("float32", "bfloat16"))
    closeness = psnr_db(quicker, exact)
    record_property("psnr_db", closeness)
    print(f"VAE in bfloat16 against float32 on {device}: {closeness:.1f} dB")
    assert closeness >= VAE_DB_MIN


@pytest.mark.gpu
def test_streamed_weights_give_the_bits_of_resident_ones(card, model_on, quick, rendered, variant):
    resident, *streamed = (
        rendered(model_on(card, variant, **options), quick(variant))
        for options in ({}, {"streamed": True}, {"streamed": True, "pageable": True})
    )
    for chunks in streamed:
        for one, other in zip(resident, chunks, strict=True):
            assert np.array_equal(one.negative.latents, other.negative.latents)
            assert np.array_equal(one.frames, other.frames)


@pytest.mark.gpu
def test_a_clip_resumed_in_another_process_is_the_same(
    card, model_directory, quick, render, tmp_path
):
    directory, spec = model_directory("distilled", STOCK_GAMMA), quick(frames=33 * 3)
    whole = render(HeliosRenderer(directory, device=str(card), threads=1).start(spec), 3)
    (tmp_path / "0").mkdir()
    for chunk in whole[:2]:
        path = tmp_path / "0" / f"{chunk.index}.safetensors"
        write_negative(path, chunk.negative, Origin(chunk.index, "d", "s"))
    request = {
        "model": str(directory),
        "device": str(card),
        "specs": [dataclasses.asdict(spec)],
        "resume_at": 2,
        "negatives": str(tmp_path),
    }
    child = subprocess.run(
        [sys.executable, RESUME_CHILD],
        input=json.dumps(request), capture_output=True, text=True, check=True,
    )  # fmt: skip
    content = whole[2].frames.tobytes() + whole[2].negative.latents.tobytes()
    assert json.loads(child.stdout) == [hashlib.sha256(content).hexdigest()]
