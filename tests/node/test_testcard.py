"""A test card can be read back from every frame, at any size, after compression; and only then."""

from __future__ import annotations

import io
import itertools

import av
import numpy as np
import pytest

from node_agent.encode import EncodeSettings, encode_segment
from node_agent.render.renderer import (
    CHUNK_FRAMES,
    Checkpoint,
    Fork,
    PromptError,
    PromptMark,
    RenderCancelled,
    RenderSpec,
)
from node_agent.render.testcard import CardError, TestCardRenderer, card_of, read_card


def a_spec(**changes: object) -> RenderSpec:
    values = {"clip_id": "clip-7", "prompt": "a heron", "frames": 99, "height": 64, "width": 64}
    return RenderSpec(**{**values, "seed": 11, **changes})


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (64, 640), (640, 64), (128, 128), (192, 64), (640, 384)]
)
@pytest.mark.parametrize("crf", [20, 28])
def test_every_frame_reads_back_after_compression(width: int, height: int, crf: int):
    spec = a_spec(width=width, height=height)
    clip = TestCardRenderer().start(spec)
    clip.step(never)
    chunk = clip.step(never)
    segment = encode_segment(
        chunk.frames,
        start_frame=CHUNK_FRAMES,
        fps=24,
        settings=EncodeSettings(preset="veryfast", crf=crf),
    )
    with av.open(io.BytesIO(segment.init + segment.media)) as film:
        cards = [read_card(frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    assert cards == [card_of("clip-7", 11, number) for number in range(33, 66)]


def test_a_resumed_clip_draws_the_same_pixels():
    renderer = TestCardRenderer()
    whole = renderer.start(a_spec())
    chunks = [whole.step(never) for _ in range(3)]
    resumed = renderer.start(a_spec(), Checkpoint(2)).step(never)
    assert resumed.index == 2
    assert np.array_equal(resumed.frames, chunks[2].frames)
    assert all(chunk.frames.shape == (33, 64, 64, 3) for chunk in chunks)
    assert all(chunk.negative is None for chunk in chunks)


def frames_of(spec: RenderSpec, checkpoint: Checkpoint | None = None) -> list[np.ndarray]:
    clip = TestCardRenderer().start(spec, checkpoint)
    return [clip.step(never).frames for _ in range(spec.chunks - clip.next_chunk)]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_a_schedule_and_a_fork_count_from_their_chunks_on():
    mark, plain = PromptMark(chunk=2, prompt="a crane"), frames_of(a_spec())
    assert equal(frames_of(a_spec(schedule=(mark,))), plain) == [True, True, False]
    forked = frames_of(a_spec(fork=Fork(chunk=1, seed=12)))
    assert equal(forked, plain) == [True, False, False]
    assert equal(forked, frames_of(a_spec(seed=12))) == [False, True, True]
    behind = frames_of(a_spec(fork=Fork(chunk=1, seed=12)), Checkpoint(2))
    assert equal(behind, forked[2:]) == [True]


def test_a_steered_clip_goes_on_with_its_last_prompt():
    clip = TestCardRenderer().start(a_spec())
    clip.step(never)
    clip.steer("a crane")
    second, third = clip.step(never), clip.step(never)
    (mark,) = second.steered
    assert (mark.chunk, mark.prompt) == (1, "a crane")
    resumed = TestCardRenderer().start(a_spec(), Checkpoint(2, steered=second.steered)).step(never)
    assert np.array_equal(resumed.frames, third.frames)
    assert resumed.steered == third.steered == (mark,)


@pytest.mark.parametrize("other", [{"seed": 12}, {"clip_id": "clip-8"}, {"prompt": "a crane"}])
def test_other_clips_look_different(other: dict[str, object]):
    renderer = TestCardRenderer()
    one = renderer.start(a_spec()).step(never).frames
    assert not np.array_equal(one, renderer.start(a_spec(**other)).step(never).frames)


def test_a_damaged_card_is_not_read_as_another():
    frame = TestCardRenderer().start(a_spec(width=128, height=128)).step(never).frames[5]
    top, left = 128 - 8 - 48, 0
    for row, column in itertools.product(range(6), range(16)):
        damaged = frame.copy()
        y, x = top + 8 * row, left + 8 * column
        damaged[y : y + 8, x : x + 8] = 255 - damaged[y : y + 8, x : x + 8]
        with pytest.raises(CardError):
            read_card(damaged)


def test_a_picture_that_is_no_card_is_refused():
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    for picture in (noise, np.zeros((64, 64, 3), np.uint8) + 255, np.zeros((32, 32, 3), np.uint8)):
        with pytest.raises(CardError):
            read_card(picture)


@pytest.mark.parametrize(
    "wrong",
    [{"width": 100}, {"height": 0}, {"width": 32}, {"frames": 0}, {"frames": 1 << 24}],
)
def test_a_clip_that_cannot_be_drawn_is_refused_before_it_begins(wrong: dict[str, int]):
    with pytest.raises(PromptError):
        TestCardRenderer().start(a_spec(**wrong))


def test_a_checkpoint_beyond_the_clip_is_refused():
    with pytest.raises(PromptError):
        TestCardRenderer().start(a_spec(), Checkpoint(3))


def test_cancelling_ends_a_slow_chunk_and_leaves_the_clip_where_it_was():
    clip = TestCardRenderer(seconds_per_chunk=3600).start(a_spec())
    answers = itertools.chain([False, False], itertools.repeat(True))
    with pytest.raises(RenderCancelled):
        clip.step(lambda: next(answers))
    assert clip.next_chunk == 0
