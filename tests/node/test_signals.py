"""Signals tell what is wrong with a take, on real H.264, and each tells of its own fault alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from node_agent.encode import TakeError, assemble, encode_segment
from node_agent.quality.measure import measure
from node_agent.quality.signals import Signals, Thresholds
from node_agent.render.renderer import CHUNK_FRAMES, Frames, RenderSpec
from node_agent.render.testcard import TestCardRenderer

HEIGHT, WIDTH = 128, 192
THREE = 3 * CHUNK_FRAMES


def moving(count: int = THREE) -> Frames:
    """A sound clip: soft shapes of many sizes in muted colours that wander round the picture."""
    rng = np.random.default_rng(7)
    ground = np.full((HEIGHT, WIDTH, 3), 128.0)
    for cell in (8, 16, 32, 64):
        coarse = rng.normal(0, 14, (HEIGHT // cell, WIDTH // cell, 3))
        shapes = coarse.repeat(cell, 0).repeat(cell, 1)
        for axis in (0, 1):  # soft edges
            shapes = sum(np.roll(shapes, n, axis) for n in range(cell)) / cell
        ground += shapes
    picture = np.clip(ground, 40, 215).astype(np.uint8)
    return np.stack([np.roll(picture, -2 * n, 1) for n in range(count)])


def film(frames: Frames, folder: Path) -> Path:
    """A take, encoded and put together as a card does it."""
    init, segments = folder / "init.mp4", []
    for first in range(0, len(frames), CHUNK_FRAMES):
        segment = encode_segment(frames[first : first + CHUNK_FRAMES], start_frame=first, fps=24)
        init.write_bytes(segment.init)
        segments.append(folder / f"{first}.m4s")
        segments[-1].write_bytes(segment.media)
    return assemble(init, segments, folder / "take.mp4", frames=len(frames), fps=24).path


def signals_of(frames: Frames, folder: Path) -> Signals:
    return measure(film(frames, folder), frames=len(frames))


def with_a_seam(frames: Frames) -> Frames:
    """The third chunk shows another place."""
    frames[66:] = np.roll(frames[66:], WIDTH // 2, axis=2)
    return frames


def with_a_black_stretch(frames: Frames) -> Frames:
    frames[40:60] //= 16
    return frames


def with_a_freeze(frames: Frames) -> Frames:
    """Frames 50 to 79 repeat frame 49, over the boundary at 66."""
    frames[50:80] = frames[49]
    return frames


def with_growing_saturation(frames: Frames) -> Frames:
    """A red that was strong all along reaches the gamut's edge, in more and more of the picture."""
    strong, full = np.array([230, 35, 35]), np.array([245, 5, 5])
    frames[:, :, : WIDTH * 3 // 5] = strong
    for n, picture in enumerate(frames):
        picture[:, : n * WIDTH * 3 // 5 // len(frames)] = full
    return frames


def with_drift(frames: Frames) -> Frames:
    """Warmer and flatter from frame to frame: 60 levels of red and half of the contrast."""
    for n, picture in enumerate(frames):
        share = n / (len(frames) - 1)
        flat = 128 + (picture.astype(float) - 128) * (1 - share / 2)
        picture[:] = np.clip(flat + share * np.array([60, 0, -60]), 0, 255)
    return frames


FAULTS: dict[str, Callable[[Frames], Frames]] = {
    "seam_flicker": with_a_seam,
    "black": with_a_black_stretch,
    "frozen": with_a_freeze,
    "over_saturation": with_growing_saturation,
    "drift": with_drift,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Signals:
    return signals_of(moving(), tmp_path_factory.mktemp("sound"))


def test_a_sound_clip_has_no_marks(sound):
    assert Thresholds().marks(sound) == ()
    assert sound.seam_flicker == pytest.approx(1, abs=0.25)
    assert (sound.black_frames, sound.frozen_frames, sound.over_saturation) == (0, 0, 0)
    assert sound.drift < 0.005


@pytest.fixture(scope="module", params=FAULTS)
def faulty(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Signals]:
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, signals_of(FAULTS[request.param](moving()), folder)


def test_each_fault_gets_its_mark_and_no_other(sound, faulty):
    fault, signals = faulty
    assert Thresholds().marks(signals) == (fault,)
    match fault:
        case "seam_flicker":
            assert signals.seam_worst_chunk == 2
            # of the two boundaries the other one is as it was
            expected = (signals.seam_flicker_worst + sound.seam_flicker) / 2
            assert signals.seam_flicker == pytest.approx(expected, rel=0.1)
        case "black":
            assert signals.black_frames == signals.black_frames_longest == 20
        case "frozen":
            assert signals.frozen_frames == signals.frozen_frames_longest == 30
        case "over_saturation":
            # 3/5 of the picture, filled in proportion to time
            assert signals.over_saturation == pytest.approx(0.3, abs=0.02)
            assert signals.over_saturation_growth == pytest.approx(0.4, abs=0.03)
        case "drift":
            # red and blue, 60 levels apart from end to end, 66/98 of that between the windows
            expected = 60 * 66 / 98 * (2 / 3) ** 0.5 / 255
            assert signals.drift_colour == pytest.approx(expected, abs=0.01)
            assert signals.drift_contrast < -0.01


def test_a_key_frame_of_a_still_grainy_picture_is_no_seam(tmp_path):
    grain = np.random.default_rng(3).normal(0, 1.5, (66, HEIGHT, WIDTH, 3))
    frames = np.clip(moving(1) + grain, 0, 255).astype(np.uint8)
    signals = signals_of(frames, tmp_path)
    assert signals.seam_flicker_worst > Thresholds().seam_flicker
    assert "seam_flicker" not in Thresholds().marks(signals)


@pytest.mark.parametrize(
    ("height", "width", "frames"), [(64, 64, 66), (64, 128, 34), (384, 640, 66)]
)
def test_test_cards_have_no_marks(tmp_path, height, width, frames):
    spec = RenderSpec(
        clip_id="c", prompt="a heron", frames=frames, height=height, width=width, seed=9
    )
    clip = TestCardRenderer().start(spec)
    drawn = np.concatenate([clip.step(lambda: False).frames for _ in range(spec.chunks)])
    signals = signals_of(drawn[:frames], tmp_path)
    assert Thresholds().marks(signals) == ()
    assert signals.drift is not None
    assert signals.seam_flicker is not None


def damaged(content: bytes) -> bytes:
    """Some bytes of the pictures are not what they were; index and lengths are whole."""
    spoilt = bytearray(content)
    for at in range(len(content) // 2, len(content) - 64, 997):
        spoilt[at : at + 24] = bytes(24)
    return bytes(spoilt)


@pytest.mark.parametrize(
    ("harm", "frames"),
    [
        (damaged, 66),
        (lambda content: content[: len(content) * 2 // 3], 66),
        (lambda _: b"no film at all", 66),
        (bytes, 65),
    ],
    ids=["damaged", "cut", "no film", "a frame too many"],
)
def test_a_take_that_does_not_play_is_an_error(tmp_path, harm, frames):
    take = film(moving(66), tmp_path)
    take.write_bytes(harm(take.read_bytes()))
    with pytest.raises(TakeError, match=r"take\.mp4"):
        measure(take, frames=frames)
