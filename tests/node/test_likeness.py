"""PSNR, SSIM and drift are what their formulas say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from node_agent.compare.film import AMPLIFIED, side_by_side
from node_agent.compare.measure import ClipMeter, slope, summary
from node_agent.quality.likeness import WINDOW, psnr_db, squares, ssim

RANDOM = np.random.default_rng(5)
NOISE = RANDOM.integers(0, 256, (2, 24, 32, 3), np.uint8)
DARK = NOISE // 2


def flat(level: int, frames: int = 1, side: int = 32) -> np.ndarray:
    return np.full((frames, side, side, 3), level, np.uint8)


def ssim_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004, window by window, as it is written."""
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (each[row : row + 11, column : column + 11] for each in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a = (weights * (a - mean_a) ** 2).sum()
            var_b = (weights * (b - mean_b) ** 2).sum()
            cov = (weights * (a - mean_a) * (b - mean_b)).sum()
            found.append(
                (2 * mean_a * mean_b + c1)
                * (2 * cov + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return float(np.mean(found))


class TestPictures:
    def test_psnr_of_a_known_error(self) -> None:
        assert squares(flat(7), flat(10)) == 9 * flat(7).size
        assert psnr_db(9.0) == pytest.approx(20 * math.log10(255 / 3))
        assert psnr_db(0.25, peak=4.0) == pytest.approx(20 * math.log10(8))
        assert psnr_db(0.0) is None

    def test_ssim_of_grey_pictures_is_that_of_their_luminance(self) -> None:
        c1 = (0.01 * 255) ** 2
        expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
        assert ssim(flat(100)[0], flat(150)[0]) == pytest.approx(expected)

    def test_ssim_is_its_definition(self) -> None:
        one, other = NOISE[0], RANDOM.integers(0, 256, NOISE[0].shape, np.uint8) // 4 + DARK[0]
        weights = np.array([0.2126, 0.7152, 0.0722])
        assert ssim(one, other) == pytest.approx(ssim_by_definition(one @ weights, other @ weights))
        assert ssim(one, one) == pytest.approx(1.0)
        assert ssim(one, 255 - one) < 0

    def test_ssim_needs_a_window(self) -> None:
        with pytest.raises(ValueError, match="no SSIM of pictures of"):
            ssim(NOISE[0][: WINDOW - 1], NOISE[0][: WINDOW - 1])


class TestClips:
    def test_a_clip_that_grows_apart_has_a_slope(self) -> None:
        """Bit k differs in chunk k: each has 20 log10 2 dB less than the one before."""
        meter, latents = ClipMeter(), np.linspace(-2, 2, 100).reshape(1, 1, 1, 10, 10)
        for chunk in range(3):
            meter.add(DARK, DARK ^ (1 << chunk), (latents, latents + 0.5))
        found = meter.result()
        top = 20 * math.log10(255)
        step = 20 * math.log10(2)
        assert [c.psnr_db for c in found.chunks] == pytest.approx(
            [top - step * k for k in range(3)]
        )
        assert found.psnr_drift_db_per_chunk == pytest.approx(-step)
        assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / ((1 + 4 + 16) / 3)))
        assert found.psnr_db_min == pytest.approx(top - 2 * step)
        assert found.latents_psnr_db == pytest.approx(20 * math.log10(4 / 0.5))
        assert found.ssim_min == found.chunks[2].ssim < found.chunks[0].ssim < 1

    def test_equal_clips_have_no_psnr(self) -> None:
        meter = ClipMeter()
        for _ in range(2):
            meter.add(NOISE, NOISE)
        found = meter.result()
        assert (found.psnr_db, found.psnr_drift_db_per_chunk) == (None, None)
        assert (found.ssim, found.brightness_levels) == (pytest.approx(1.0), 0.0)
        assert set(summary([found])) == {"ssim"}

    def test_brightness_counts_frames_and_has_a_sign(self) -> None:
        meter = ClipMeter()
        meter.add(flat(100, frames=3), flat(104, frames=3))
        meter.add(flat(100), flat(96))
        found = meter.result()
        assert [c.brightness_levels for c in found.chunks] == [4.0, -4.0]
        assert found.brightness_levels == pytest.approx((3 * 4 - 4) / 4)

    def test_each_clips_own_drift_is_there(self) -> None:
        meter = ClipMeter()
        for level in (0, 51):
            meter.add(flat(100, frames=33), flat(100 + level, frames=33))
        exact, fast = meter.result().signals
        assert (exact.drift, fast.drift) == (0.0, 0.2)

    def test_clips_of_two_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot be compared"):
            ClipMeter().add(flat(1), flat(1, side=48))

    def test_gaps_do_not_bend_the_slope(self) -> None:
        assert slope([None, 40.0, None, 38.0]) == pytest.approx(-1.0)
        assert slope([None, 40.0]) is None

    def test_a_summary_is_mean_and_least_over_clips(self) -> None:
        meter = ClipMeter()
        meter.add(DARK, DARK ^ 1)
        found = meter.result()
        other = replace(found, psnr_db=30.0, ssim=0.5)
        spread = summary([replace(found, psnr_db=40.0, ssim=0.7), other])
        assert (spread["psnr_db"].mean, spread["psnr_db"].min) == (35.0, 30.0)
        assert spread["ssim"].mean == pytest.approx(0.6)
        assert "psnr_drift_db_per_chunk" not in spread


def test_the_film_shows_both_and_what_differs_amplified() -> None:
    one, other = flat(100, frames=2, side=64), flat(103, frames=2, side=64)
    other[1, 0, 0] = 255
    film = side_by_side(one, other, ("exact", "fast"))
    height = film.shape[1] - 64
    assert film.shape == (2, 64 + height, 3 * 64, 3)
    picture = film[:, height:]
    assert (picture[:, :, :64] == one).all()
    assert (picture[:, :, 64:128] == other).all()
    assert (picture[0, :, 128:] == 3 * AMPLIFIED).all()
    assert (picture[1, 0, 128] == 255).all()
    words = film[0, :height]
    assert all(words[:, column : column + 64].any() for column in (0, 64, 128))
    assert (film[0, :height] == film[1, :height]).all()
