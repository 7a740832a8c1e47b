"""Clips rendered in lockstep: the same noise, the same pictures, whoever keeps them company."""

import dataclasses

import numpy as np
import pytest

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import Checkpoint, needed_negatives
from tests.node.helios.waiting import whole_chunks

CHUNKS = 3
CLOSE = 1e-5
"""Sums of a matrix product depend on its number of rows in the last bits; latents are around 1."""


@pytest.fixture(scope="module", params=["distilled", "mid", "base"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def of_variant(model_directory, variant):
    return HeliosRenderer(model_directory(variant))


@pytest.fixture(scope="module")
def specs(spec, variant):
    steps = {"distilled": (1, 2, 1), "mid": (2, 1, 1), "base": (3,)}[variant]
    prompts = "A red fox in snow", "A lighthouse in a storm", "Rain on a tin roof"
    return [
        spec(clip_id=str(n), prompt=prompt, seed=n, steps=steps, amplify_first_chunk=False)
        for n, prompt in enumerate(prompts)
    ]


def never(_clip):
    return False


@pytest.fixture(scope="module")
def alone(of_variant, specs, render):
    """The chunks of each clip, rendered alone."""
    return [render(of_variant.start(each), CHUNKS) for each in specs]


@pytest.fixture(scope="module")
def together(of_variant, specs):
    """The chunks of all clips in lockstep, round by round."""
    clips = [of_variant.start(each) for each in specs]
    return [whole_chunks(of_variant.step(clips, never)) for _ in range(CHUNKS)]


def assert_close(one, other):
    assert one.index == other.index
    assert np.abs(one.negative.latents - other.negative.latents).max() < CLOSE
    assert np.abs(one.frames.astype(int) - other.frames.astype(int)).max() <= 1
    # The noise is the clip's own: its stream has moved exactly as far.
    assert one.negative.generator_state == other.negative.generator_state


def test_a_clip_in_company_equals_the_clip_alone(alone, together):
    for chunk, chunks in enumerate(together):
        assert [made.lanes for made in chunks] == [3, 3, 3]
        for lane, made in enumerate(chunks):
            assert_close(made, alone[lane][chunk])


def test_lanes_join_and_leave_between_chunks(of_variant, specs, alone):
    first, second, third = (of_variant.start(each) for each in specs)
    rounds = [[first], [first, second], [first, second, third], [second, third], [third]]
    made = {clip.spec.clip_id: [] for clip in (first, second, third)}
    for lanes in rounds:
        for clip, chunk in zip(lanes, whole_chunks(of_variant.step(lanes, never)), strict=True):
            made[clip.spec.clip_id].append(chunk)
    for lane, chunks in made.items():
        for one, other in zip(chunks, alone[int(lane)], strict=True):
            assert_close(one, other)


def test_the_same_company_gives_the_same_bits_after_a_resume(
    of_variant, specs, together, assert_equal_chunks
):
    negatives = [[made[lane].negative for made in together] for lane in range(3)]
    resumed = [
        of_variant.start(each, Checkpoint(2, {n: negatives[lane][n] for n in needed_negatives(2)}))
        for lane, each in enumerate(specs)
    ]
    assert_equal_chunks(whole_chunks(of_variant.step(resumed, never)), together[2])


def test_who_is_cancelled_leaves_within_a_pass_and_the_others_go_on(of_variant, specs, alone):
    clips = [of_variant.start(each) for each in specs]
    asked = []

    def cancelled(clip):
        asked.append(clip.spec.clip_id)
        return clip is clips[1] and asked.count("1") > 2

    made = whole_chunks(of_variant.step(clips, cancelled))
    assert made[1] is None
    assert clips[1].next_chunk == 0
    assert asked.count("1") == 3  # never asked again: it was gone at once
    for lane in (0, 2):
        assert_close(made[lane], alone[lane][0])
    # What was cancelled goes on as if nothing had been.
    assert_close(clips[1].step(lambda: False), alone[1][0])


def test_when_all_are_cancelled_nothing_is_rendered(of_variant, specs):
    clips = [of_variant.start(each) for each in specs]
    assert of_variant.step(clips, lambda _clip: True) == [None] * 3


def test_an_amplified_first_chunk_is_a_group_of_its_own(renderer, spec):
    fresh, plain = (renderer.start(spec(amplify_first_chunk=each)) for each in (True, False))
    assert fresh.lane_group != plain.lane_group
    with pytest.raises(ValueError, match="different groups"):
        renderer.step([fresh, plain], never)
    fresh.step(lambda: False)
    assert fresh.lane_group == plain.lane_group


@pytest.mark.parametrize(
    "different", [{"height": 128}, {"steps": (1, 2, 1)}, {"frames": 33, "seed": 5}], ids=str
)
def test_who_may_be_rendered_together(renderer, spec, different):
    one = renderer.start(spec(amplify_first_chunk=False))
    other = renderer.start(dataclasses.replace(spec(amplify_first_chunk=False), **different))
    assert (one.lane_group == other.lane_group) == ("seed" in different)
