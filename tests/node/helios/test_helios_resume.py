"""A clip resumed at any chunk boundary, anywhere, equals the uninterrupted one to the last bit."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.negatives import Origin, write_negative
from node_agent.render.renderer import Checkpoint, CheckpointError, Negative, needed_negatives

CHUNKS = 5


@pytest.fixture(scope="module")
def fresh(model_directory):
    """A renderer that has rendered nothing yet."""
    return lambda: HeliosRenderer(model_directory())


@pytest.fixture(scope="module")
def clip_spec(spec):
    return spec(frames=33 * CHUNKS)


@pytest.fixture(scope="module")
def whole(renderer, clip_spec, render):
    return render(renderer.start(clip_spec), CHUNKS)


def checkpoint_at(chunk, whole):
    return Checkpoint(chunk, {index: whole[index].negative for index in needed_negatives(chunk)})


def test_at_every_boundary(fresh, clip_spec, whole, render, assert_equal_chunks):
    for chunk in range(CHUNKS):
        clip = fresh().start(clip_spec, checkpoint_at(chunk, whole))
        assert clip.next_chunk == chunk
        assert_equal_chunks(render(clip, CHUNKS), whole[chunk:])


def test_in_another_process(model_directory, clip_spec, whole, tmp_path):
    resume_at = 4
    for index in needed_negatives(resume_at):
        origin = Origin(index, model_digest="d", stack_id="s")
        write_negative(tmp_path / f"{index}.safetensors", whole[index].negative, origin)
    request = {
        "model": str(model_directory()),
        "spec": dataclasses.asdict(clip_spec),
        "resume_at": resume_at,
        "negatives": str(tmp_path),
    }
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("resume_child.py")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [
        hashlib.sha256(chunk.frames.tobytes() + chunk.negative.latents.tobytes()).hexdigest()
        for chunk in whole[resume_at:]
    ]
    assert json.loads(child.stdout) == expected


def test_a_missing_negative_is_named(renderer, clip_spec, whole):
    checkpoint = checkpoint_at(4, whole)
    del checkpoint.negatives[2]
    with pytest.raises(CheckpointError, match="lacks the negative of chunk 2"):
        renderer.start(clip_spec, checkpoint)


def test_negatives_of_another_size_are_refused(renderer, spec, whole):
    with pytest.raises(CheckpointError, match="negative of chunk 0"):
        renderer.start(spec(height=128), checkpoint_at(1, whole))


def test_a_broken_random_state_is_refused(renderer, clip_spec, whole):
    checkpoint = checkpoint_at(1, whole)
    checkpoint.negatives[0] = Negative(whole[0].negative.latents, b"short")
    with pytest.raises(CheckpointError, match="broken generator state"):
        renderer.start(clip_spec, checkpoint)


def test_a_negative_can_be_changed_without_changing_the_clip(
    renderer, clip_spec, whole, render, assert_equal_chunks
):
    """Latents handed out are the caller's own."""
    clip = renderer.start(clip_spec)
    first = clip.step(lambda: False)
    first.negative.latents[:] = np.nan
    assert_equal_chunks(render(clip, CHUNKS), whole[1:])
