"""What encoders do to the threads of the process that uses them."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.media.films import ENCODINGS, write_film
from node_agent.film import CODECS, FilmWriter


def real_time_threads() -> list[int]:
    """Threads of this process with a real-time priority."""
    return [
        thread
        for thread in map(int, os.listdir("/proc/self/task"))
        if os.sched_getscheduler(thread) != os.SCHED_OTHER
    ]


@pytest.fixture(autouse=True)
def _before() -> None:
    assert not real_time_threads(), "another test has left one"


def test_an_av1_film_of_a_node_takes_no_real_time_priority(tmp_path: Path) -> None:
    frames = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    with FilmWriter(tmp_path / "film.mp4", CODECS["av1"], fps=24) as film:
        film.add(frames)
        assert not real_time_threads()
    assert not real_time_threads()


def test_an_av1_rendition_takes_no_real_time_priority(tmp_path: Path) -> None:
    def frames():
        for _ in range(3):
            picture = np.zeros((64, 64, 3), dtype=np.uint8)
            yield av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p10le")
            assert not real_time_threads()

    assert write_film(frames(), tmp_path / "film.mp4", ENCODINGS["av1"], Fraction(24)) == 3
    assert not real_time_threads()
