"""Memory is flat: a clip of sixty chunks needs no more than one of three."""

import json
import subprocess
import sys
from pathlib import Path

CHUNKS = 60
GROWTH_BYTES_PER_CHUNK_MAX = 100_000


def test_sixty_chunks_stay_within_the_memory_of_three(model_directory):
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("memory_child.py"), model_directory(), "60"],
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = json.loads(child.stdout)
    assert len(sizes) == CHUNKS
    growth = max(sizes[3:]) - sizes[2]
    assert growth / (CHUNKS - 3) < GROWTH_BYTES_PER_CHUNK_MAX
