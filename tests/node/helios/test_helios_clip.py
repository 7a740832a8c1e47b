"""What a clip in render does: whole chunks, cancelling between passes, nothing shared."""

import numpy as np
import pytest

from node_agent.render.renderer import PromptError, RenderCancelled


class CancelAfter:
    """Says no `passes` times, then yes."""

    def __init__(self, passes):
        self.left = passes

    def __call__(self):
        self.left -= 1
        return self.left < 0


def test_a_chunk_is_whole_whatever_was_asked_for(renderer, spec):
    chunk = renderer.start(spec(frames=1)).step(lambda: False)
    assert chunk.frames.shape == (33, 64, 64, 3)
    assert chunk.frames.dtype == np.uint8
    assert chunk.negative.latents.shape == (1, 16, 9, 8, 8)
    assert chunk.negative.latents.dtype == np.float32
    assert chunk.seconds > 0


def test_the_picture_has_colours_and_moves(renderer, spec, render):
    frames = np.concatenate([c.frames for c in render(renderer.start(spec(frames=66)), 2)])
    assert (frames.std(axis=(0, 1, 2)) > 10).all()
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 1


@pytest.mark.parametrize(("amplify", "passes"), [(False, 3), (True, 6)])
def test_cancelling_is_heard_before_every_pass(renderer, spec, amplify, passes):
    clip_spec = spec(amplify_first_chunk=amplify)
    expected = renderer.start(clip_spec).step(lambda: False)
    clip = renderer.start(clip_spec)
    for heard_before in range(passes):
        with pytest.raises(RenderCancelled):
            clip.step(CancelAfter(heard_before))
        assert clip.next_chunk == 0
    # What was cancelled has left no trace: the chunk is the same as ever.
    assert np.array_equal(clip.step(lambda: False).frames, expected.frames)


def test_guidance_asks_between_its_two_passes(model_directory, spec):
    from node_agent.render.helios.renderer import HeliosRenderer

    asked = []
    clip = HeliosRenderer(model_directory("base")).start(spec(steps=(2,)))
    clip.step(lambda: bool(asked.append(None)))
    assert len(asked) == 5  # two steps of two passes, and before the decode


def test_clips_in_turn_equal_clips_alone(renderer, spec, render, assert_equal_chunks):
    specs = [spec(seed=1), spec(seed=2, prompt="A lighthouse in a storm", width=128)]
    alone = [render(renderer.start(s), 3) for s in specs]
    clips = [renderer.start(s) for s in specs]
    turns = [[clip.step(lambda: False) for clip in clips] for _ in range(3)]
    for index, chunks in enumerate(alone):
        assert_equal_chunks([turn[index] for turn in turns], chunks)


def test_seed_and_prompt_both_change_the_picture(renderer, spec):
    first = renderer.start(spec()).step(lambda: False).frames
    for other in (spec(seed=43), spec(prompt="A blue whale dives")):
        assert not np.array_equal(renderer.start(other).step(lambda: False).frames, first)


def test_history_is_never_longer_than_19_latent_frames(renderer, spec, render):
    clip = renderer.start(spec(frames=33 * 5))
    render(clip, 5)
    frames = clip.history.frames
    assert frames.shape[2] == 19
    assert frames.untyped_storage().nbytes() == frames.numel() * 4


@pytest.mark.parametrize(
    ("different", "message"),
    [
        ({"width": 96}, "size 96x64: width and height must be multiples of 64"),
        ({"height": 0}, "multiples of 64"),
        ({"steps": (2, 2)}, r"steps \[2, 2\]: a distilled model takes 3 number"),
        ({"steps": (2, 0, 2)}, "1 or more"),
        ({"guidance_scale": 5.0}, "guidance_scale 5: a distilled model renders without guidance"),
        ({"frames": 0}, "at least one frame"),
        ({"seed": -1}, "a seed lies between 0 and"),
    ],
)
def test_what_no_card_can_render_is_refused_with_its_reason(renderer, spec, different, message):
    with pytest.raises(PromptError, match=message):
        renderer.start(spec(**different))


def test_the_stack_is_named(renderer):
    assert renderer.stack_id.startswith("torch-")
    assert "diffusers-" in renderer.stack_id
    assert renderer.stack_id.endswith("threads-1")
    assert renderer.profiles == ("exact",)
    assert len(renderer.model_digest) == 64
