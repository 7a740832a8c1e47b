"""Memory is flat: a long clip needs no more than a short one, a cancelled one leaves nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHUNKS = 60
GROWTH_BYTES_PER_CHUNK_MAX = 100_000
GROWTH_BYTES_PER_CLIP_MAX = 200_000
"""A prompt's embeddings are kept for the next clip, 64 of them at most; tiny ones are 3 kB."""


@pytest.fixture(scope="module")
def sizes(model_directory):
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("memory_child.py"), model_directory(), "60"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(child.stdout)


def test_sixty_chunks_stay_within_the_memory_of_three(sizes):
    chunks = sizes["chunks"]
    assert len(chunks) == CHUNKS
    growth = max(chunks[3:]) - chunks[2]
    assert growth / (CHUNKS - 3) < GROWTH_BYTES_PER_CHUNK_MAX


def test_memory_returns_to_its_level_after_a_cancelled_clip(sizes):
    before, *after = sizes["cancelled"]
    assert (max(after) - before) / len(after) < GROWTH_BYTES_PER_CLIP_MAX
