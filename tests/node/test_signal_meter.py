"""The meter's arithmetic, on frames whose signals can be told by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from node_agent.quality.meter import SignalMeter
from node_agent.quality.signals import Signals, Thresholds

RED, DARK_RED, PALE_RED, GREY = (255, 0, 0), (128, 0, 0), (255, 40, 40), (128, 128, 128)


def flat(*colours: int | tuple[int, int, int]) -> list[np.ndarray]:
    """Frames of one colour each; a number is a grey."""
    frames = np.zeros((len(colours), 16, 16, 3), np.uint8)
    for frame, colour in zip(frames, colours, strict=True):
        frame[:] = colour
    return list(frames)


def measured(frames: Iterable[np.ndarray], chunk_frames: int = 2) -> Signals:
    meter = SignalMeter(chunk_frames)
    for frame in frames:
        meter.add(frame)
    return meter.result()


def test_seams_are_measured_against_the_change_inside_chunks():
    #                        2 inside ┐ 10  ┌ 4 inside ┐ 30  ┌ 0 inside
    signals = measured(flat(100, 102, 112, 108, 138, 138))
    assert signals.frame_difference == pytest.approx(2 / 255, abs=1e-6)
    assert (signals.seam_flicker, signals.seam_flicker_worst) == (10, 15)
    assert signals.seam_worst_chunk == 2


def test_what_cannot_be_told_is_absent():
    always = {
        "black_frames", "black_frames_longest", "frozen_frames", "frozen_frames_longest",
        "over_saturation",
    }  # fmt: skip
    assert set(measured(flat(100)).known) == always
    assert set(measured(flat(100, 104)).known) == always | {"frame_difference"}
    still = measured(flat(100, 100, 140, 140))
    assert (still.frame_difference, still.seam_flicker, still.seam_worst_chunk) == (0, None, None)
    assert still.drift == pytest.approx(40 / 255, abs=1e-6)
    with pytest.raises(ValueError, match="without frames"):
        SignalMeter().result()


def test_runs_of_black_and_of_frozen_frames_are_told_apart():
    signals = measured(flat(90, 90, 90, 0, 25, 10, 60, 0, 70, 70), chunk_frames=33)
    assert (signals.black_frames, signals.black_frames_longest) == (4, 3)
    assert (signals.frozen_frames, signals.frozen_frames_longest) == (3, 2)


def test_a_small_thing_that_moves_is_not_frozen():
    frames = flat(*[80] * 20)
    for n, frame in enumerate(frames):
        frame[8, n % 16] = 100
    assert measured(frames, chunk_frames=33).frozen_frames == 0


def test_a_key_frame_does_not_end_a_freeze_but_a_new_picture_does():
    assert measured(flat(80, 80, 80, 83, 83, 83), 3).frozen_frames_longest == 5
    assert measured(flat(80, 80, 80, 90, 90, 90), 3).frozen_frames_longest == 2
    assert measured(flat(80, 82, 84, 84), 3).frozen_frames == 0


@pytest.mark.parametrize(
    ("colour", "share"), [(RED, 1), (DARK_RED, 0), (PALE_RED, 0), ((0, 200, 19), 1), (GREY, 0)]
)
def test_only_bright_full_colours_are_over_saturated(colour, share):
    assert measured(flat(colour)).over_saturation == share


def test_saturation_and_drift_compare_a_chunk_at_either_end():
    signals = measured(flat(GREY, GREY, PALE_RED, DARK_RED, RED, RED))
    assert signals.over_saturation == pytest.approx(2 / 6, abs=1e-6)
    assert signals.over_saturation_growth == 1
    apart = (127**2 + 128**2 + 128**2) / 3
    assert signals.drift_colour == pytest.approx(apart**0.5 / 255, abs=1e-6)
    assert (signals.drift_contrast, signals.drift_saturation) == (0, 1)
    assert signals.drift == pytest.approx((signals.drift_colour**2 + 1) ** 0.5, abs=1e-6)


def test_a_clip_shorter_than_two_chunks_is_compared_by_its_halves():
    assert measured(flat(100, 100, 110, 120, 120), 4).drift == pytest.approx(20 / 255, abs=1e-6)


def test_contrast_is_the_spread_of_luma():
    frames = flat(128, 128)
    frames[1][::2], frames[1][1::2] = 128 - 51, 128 + 51
    signals = measured(frames, chunk_frames=1)
    assert signals.drift_contrast == pytest.approx(51 / 255, abs=1e-6)
    assert signals.drift == pytest.approx(51 / 255, abs=1e-6)


def test_a_large_picture_has_the_signals_of_its_sampled_pixels():
    rng = np.random.default_rng(5)
    small = list(rng.integers(0, 256, (5, 192, 320, 3), np.uint8))
    large = [frame.repeat(2, axis=0).repeat(2, axis=1) for frame in small]
    assert measured(large) == measured(small)


def test_memory_does_not_grow_with_the_clip():
    frames = flat(*range(0, 250, 5))
    meter = SignalMeter()
    for frame in frames:
        meter.add(frame)
    tracemalloc.start()
    try:
        for frame in frames * 10:
            meter.add(frame)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 50_000, "of 500 frames, one of which alone has 768 bytes"


SOUND = measured(flat(100, 110, 120, 130))


@pytest.mark.parametrize(
    ("mark", "threshold", "signal", "bound"),
    [
        ("seam_flicker", "seam_flicker", "seam_flicker_worst", 2.5),
        ("black", "black_frames", "black_frames_longest", 3),
        ("frozen", "frozen_frames", "frozen_frames_longest", 5),
        ("over_saturation", "over_saturation", "over_saturation", 0.5),
        ("over_saturation", "over_saturation", "over_saturation_growth", 0.5),
        ("drift", "drift", "drift", 0.4),
    ],
)
def test_a_signal_marks_beyond_its_threshold_and_not_at_it(mark, threshold, signal, bound):
    thresholds = replace(Thresholds(), **{threshold: bound})
    assert thresholds.marks(replace(SOUND, **{signal: bound})) == ()
    assert thresholds.marks(replace(SOUND, **{signal: bound + 1})) == (mark,)
