"""The host's slabs have exactly their size, are page-locked for a GPU, and unlocked in the end."""

import gc
import mmap

import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios.slabs import host
from node_agent.render.helios.slabs.host import PORTABLE, HostSlabs

REFUSED = 2
"""cudaErrorMemoryAllocation."""


class Driver:
    """CUDA's register of page-locked memory."""

    def __init__(self, limit=2**40):
        self.locked = {}
        self._limit = limit

    def cudaHostRegister(self, address, size, flags):  # noqa: N802 - CUDA's name
        assert flags == PORTABLE
        if sum(self.locked.values()) + size > self._limit:
            return REFUSED
        self.locked[address] = size
        return 0

    def cudaHostUnregister(self, address):  # noqa: N802
        return 0 if self.locked.pop(address, None) else 1


@pytest.fixture
def driver(monkeypatch):
    def install(limit=2**40):
        found = Driver(limit)
        monkeypatch.setattr(torch.cuda, "cudart", lambda: found)
        return found

    return install


def test_slabs_are_of_their_size_and_begin_a_page(driver):
    registered = driver()
    slabs = HostSlabs(page_locked=True)
    sizes = [5_000_001, 3 << 20, 100]
    made = [slabs.slab(size) for size in sizes]
    assert [slab.nbytes for slab in made] == sizes
    assert all(slab.data_ptr() % mmap.PAGESIZE == 0 for slab in made)
    assert list(registered.locked.values()) == sizes
    made[0].fill_(7)
    slabs.close()
    assert registered.locked == {}
    assert made[0].eq(7).all(), "whoever still has one can read it"
    slabs.close()


def test_whoever_drops_them_unlocks_them(driver):
    registered = driver()
    slabs = HostSlabs(page_locked=True)
    slabs.slab(1000)
    slabs.slab(1000)
    assert len(registered.locked) == 2, "no page is given back while it is registered"
    del slabs
    gc.collect()
    assert registered.locked == {}


def test_ordinary_memory_is_not_registered(driver):
    registered = driver()
    HostSlabs(page_locked=False).slab(1000)
    assert registered.locked == {}


def test_a_refusal_says_what_was_asked_and_what_to_do(driver):
    registered = driver(limit=2_500_000_000)
    slabs = HostSlabs(page_locked=True)
    for _ in range(2):
        slabs.slab(1_000_000_000)
    with pytest.raises(ModelError) as refusal:
        slabs.slab(1_000_000_000)
    for words in (
        "page-lock 1.00 GB of host RAM for weights, after 2.00 GB (CUDA error 2)",
        "`ulimit -l`",
        "memory limit of the container",
        "--pageable",
    ):
        assert words in str(refusal.value)
    slabs.close()
    assert registered.locked == {}


def test_memory_that_there_is_not_is_refused(monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(host.mmap, "mmap", refuse)
    with pytest.raises(ModelError, match=r"refused 0\.60 GB of host RAM .* Cannot allocate"):
        HostSlabs(page_locked=False).slab(600_000_000)
