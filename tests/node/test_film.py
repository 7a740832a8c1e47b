"""A film in another encoding has every frame at its place; lossless ones are the frames."""

from __future__ import annotations

import errno
from pathlib import Path

import av
import numpy as np
import pytest

from node_agent.film import CODECS, FilmWriter, lossless, pictures, read_lossless


def noise(frames: int, seed: int = 0) -> np.ndarray:
    """Smooth enough for encoders, and different in each frame."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (frames, 4, 4, 3), np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def written(path: Path, codec: str, *parts: np.ndarray, **options) -> Path:
    with FilmWriter(path, CODECS[codec], fps=24, **options) as film:
        for part in parts:
            film.add(part)
    return path


def test_a_lossless_piece_gives_back_the_very_frames_and_equal_frames_are_equal_bytes(tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), np.uint8)
    path = tmp_path / "piece.mkv"
    path.write_bytes(lossless(frames, 24))
    assert np.array_equal(read_lossless(path), frames)
    assert lossless(frames, 24) == path.read_bytes()


@pytest.mark.parametrize(
    ("codec", "ending"), [(name, end) for name, codec in CODECS.items() for end in codec.endings]
)
def test_each_encoding_holds_every_frame_in_its_time_and_colour(tmp_path, capfd, codec, ending):
    path = written(tmp_path / f"film{ending}", codec, noise(5), noise(4, seed=1))
    assert capfd.readouterr() == ("", ""), "encoders keep their talk to themselves"
    with av.open(str(path)) as film:
        track = film.streams.video[0]
        times = [float(frame.pts * track.time_base) for frame in film.decode(track)]
    assert times == pytest.approx([number / 24 for number in range(9)], abs=1e-3)
    found = np.stack(list(pictures(path))).astype(int)
    error = np.abs(found - np.concatenate([noise(5), noise(4, seed=1)])).mean()
    assert error == 0 if codec == "ffv1" else error < 8


def test_a_lower_crf_takes_more_bytes(tmp_path):
    fine = written(tmp_path / "fine.mp4", "h265", noise(9), crf=5)
    coarse = written(tmp_path / "coarse.mp4", "h265", noise(9), crf=45)
    assert fine.stat().st_size > coarse.stat().st_size


def test_what_breaks_off_leaves_no_file(tmp_path):
    def half():
        with FilmWriter(tmp_path / "film.mkv", CODECS["ffv1"], fps=24) as film:
            film.add(noise(2))
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        half()
    assert not list(tmp_path.iterdir())
