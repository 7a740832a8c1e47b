"""A clip resumed at any chunk boundary, anywhere, equals the uninterrupted one to the last bit."""

import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.negatives import Origin, read_negative, write_negative
from node_agent.render.renderer import (
    Checkpoint,
    CheckpointError,
    Fork,
    Negative,
    PromptMark,
    needed_negatives,
)
from tests.node.helios.waiting import whole_chunks

CHUNKS = 5
NIGHT = PromptMark(chunk=1, prompt="Night falls over the snow.", blend_chunks=3)


@pytest.fixture(scope="module")
def fresh(model_directory):
    """A renderer that has rendered nothing yet."""
    return lambda variant="distilled": HeliosRenderer(model_directory(variant))


@pytest.fixture(scope="module")
def clip_spec(spec):
    return spec(frames=33 * CHUNKS)


@pytest.fixture(scope="module")
def whole(renderer, clip_spec, render):
    return render(renderer.start(clip_spec), CHUNKS)


@pytest.fixture(scope="module")
def modes(picture, footage):
    """Ways for a clip to begin, and to go on."""
    return {
        "text": {},
        "image": {"image": str(picture), "width": 128},
        "video": {"video": str(footage(70)[0])},
        "interactive": {"schedule": (NIGHT,)},
        "forked": {"fork": Fork(chunk=2, seed=9)},
        "skipping": {"skip_first_chunk": True},
        "image skipping": {"image": str(picture), "width": 128, "skip_first_chunk": True},
    }


def checkpoint_at(chunk, whole, **options):
    needed = needed_negatives(chunk, **options)
    return Checkpoint(chunk, {index: whole[index].negative for index in needed})


@pytest.mark.parametrize(
    ("variant", "mode"),
    [
        *(
            ("distilled", mode)
            for mode in (
                "text",
                "image",
                "video",
                "interactive",
                "forked",
                "skipping",
                "image skipping",
            )
        ),
        *itertools.product(("mid", "base"), ("text", "video")),
    ],
)
def test_at_every_boundary(fresh, spec, modes, render, assert_equal_chunks, variant, mode):
    """Also without the image or video: what it put before the clip is in chunk 0's negative."""
    steps = {"distilled": (1, 1, 1), "mid": (2, 1, 1), "base": (2,)}[variant]
    options = modes[mode] | {"steps": steps}
    clip_spec = spec(frames=33 * CHUNKS, **options)
    whole = render(fresh(variant).start(clip_spec), CHUNKS)
    renderer = fresh(variant)
    gone = {name: "/nowhere" for name in ("image", "video") if options.get(name)}
    for chunk in range(1, CHUNKS):
        negatives = checkpoint_at(chunk, whole, skip_first_chunk="skipping" in mode)
        clip = renderer.start(dataclasses.replace(clip_spec, **gone), negatives)
        assert clip.next_chunk == chunk
        end = min(chunk + 2, CHUNKS)
        assert_equal_chunks(render(clip, end), whole[chunk:end])


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("mode", ["text", "image skipping"])
def test_in_another_process(renderer, model_directory, spec, modes, tmp_path, mode, lanes):
    resume_at = 4
    specs = [spec(frames=33 * CHUNKS, seed=lane, **modes[mode]) for lane in range(lanes)]
    clips = [renderer.start(each) for each in specs]
    rounds = [whole_chunks(renderer.step(clips, lambda _clip: False)) for _ in range(CHUNKS)]
    for index, lane in itertools.product(range(resume_at), range(lanes)):
        (tmp_path / str(lane)).mkdir(exist_ok=True)
        path = tmp_path / str(lane) / f"{index}.safetensors"
        write_negative(path, rounds[index][lane].negative, Origin(index, "d", "s"))
    request = {
        "model": str(model_directory()),
        "specs": [dataclasses.asdict(each) for each in specs],
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
        hashlib.sha256(made.frames.tobytes() + made.negative.latents.tobytes()).hexdigest()
        for made in rounds[resume_at]
    ]
    assert json.loads(child.stdout) == expected


def test_a_change_of_prompt_comes_back_with_its_negatives(
    fresh, clip_spec, whole, render, tmp_path
):
    """Steered before chunk 2, resumed before chunk 3, in the midst of the blend."""
    renderer = fresh()
    clip = renderer.start(clip_spec)
    chunks = render(clip, 2)
    clip.steer("A storm comes up.", blend_chunks=3)
    chunks += render(clip, CHUNKS)
    marks = [chunk.negative.steered for chunk in chunks]
    change = PromptMark(chunk=2, prompt="A storm comes up.", blend_chunks=3)
    assert marks == [(), (), (change,), (change,), (change,)]
    negatives = {}
    for index in needed_negatives(3):
        path = tmp_path / str(index)
        write_negative(path, chunks[index].negative, Origin(index, "d", "s"))
        negatives[index] = read_negative(path, chunk=index, model_digest="d")
    resumed = render(fresh().start(clip_spec, Checkpoint(3, negatives)), CHUNKS)
    for ours, theirs in zip(resumed, chunks[3:], strict=True):
        assert np.array_equal(ours.frames, theirs.frames)
    same = [np.array_equal(a.frames, b.frames) for a, b in zip(whole, chunks, strict=True)]
    assert same == [True, True, True, False, False]


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
