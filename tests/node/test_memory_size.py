"""Sizes of memory are read as people write them."""

import pytest

from node_agent.memory_size import memory_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 * 10**9),
        ("8 gb", 8 * 10**9),
        ("8GiB", 8 * 2**30),
        ("1.5G", 1_500_000_000),
        ("8000M", 8 * 10**9),
        ("512MiB", 2**29),
        ("8000000001", 8_000_000_001),
    ],
)
def test_with_units(text, size):
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "0", "0G", "-1G", "8T", "eight", "1e9", "8G8"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size of memory: write 8G, 8GiB or 8000M"):
        memory_size(text)
