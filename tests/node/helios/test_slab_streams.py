"""Copies on a GPU's own stream: what is asked of CUDA, and in which order.

CUDA is stood in for by streams that note what is asked, and run it later in any order that their
events allow; so a wait that is missing shows as a wrong number in some of the orders.
"""

import random
from collections import deque
from contextlib import contextmanager

import pytest
import torch

from node_agent.render.helios.slabs.streams import CudaStreams, InTurn, order_on

CARD = torch.device("cuda:0")


class Stream:
    """A queue of work; a wait holds up what comes behind it."""

    def __init__(self, cuda):
        self._cuda = cuda
        self.work = deque()

    def wait_event(self, event):
        if event.recorded is not None:  # a wait for an event that never was is no wait
            self.work.append(("wait", event.recorded))

    def run_one(self):
        """Do what comes next; False where it has to wait, or there is nothing."""
        if not self.work:
            return False
        kind, what = self.work[0]
        if kind == "wait" and not what.is_over:
            return False
        self.work.popleft()
        if kind == "mark":
            what.is_over = True
        elif kind == "do":
            what()
        return True

    def synchronize(self):
        self._cuda.run(until=lambda: not self.work)


class Mark:
    """A point in a stream."""

    is_over = False


class Event:
    def __init__(self):
        self.recorded = None

    def record(self, stream):
        self.recorded = Mark()
        stream.work.append(("mark", self.recorded))


class Cuda:
    """A GPU with a main stream and others."""

    def __init__(self, chance):
        self._chance = chance
        self.streams = [Stream(self)]
        self.current = self.streams[0]

    def new_stream(self, _device):
        self.streams.append(Stream(self))
        return self.streams[-1]

    @contextmanager
    def within(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    def run(self, until):
        while not until():
            order = self._chance.sample(self.streams, len(self.streams))
            assert any(stream.run_one() for stream in order), "every stream waits for another"


class Target:
    """A slot on the GPU: a copy is only noted, and made when its stream comes to it."""

    def __init__(self, cuda):
        self._cuda = cuda
        self.value = None

    def copy_(self, source, *, non_blocking):
        assert non_blocking
        self._cuda.current.work.append(("do", lambda: setattr(self, "value", source)))


@pytest.fixture
def cuda(monkeypatch):
    def install(seed):
        made = Cuda(random.Random(seed))
        monkeypatch.setattr(torch.cuda, "Stream", made.new_stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "stream", made.within)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: made.current)
        return made

    return install


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("slots", [2, 3])
def test_arithmetic_sees_what_was_copied_for_it_and_nothing_later(cuda, slots, seed):
    """As the streamer does: a slot is filled again as soon as its block has been asked to work."""
    device = cuda(seed)
    order = CudaStreams(CARD, slots)
    targets = [Target(device) for _ in range(slots)]
    main, seen, blocks = device.streams[0], [], 12
    for slot in range(slots):
        order.copy(slot, targets[slot], slot)
    for number in range(blocks):
        slot = number % slots
        order.arrive(slot)
        for _ in range(3):  # a block's work takes a while
            main.work.append(("do", lambda slot=slot: seen.append(targets[slot].value)))
        order.used(slot)
        order.copy(slot, targets[slot], number + slots)
    assert not seen, "the host has waited for nothing"
    order.finish()
    assert seen == [number for number in range(blocks) for _ in range(3)]
    assert sorted(target.value for target in targets) == list(range(blocks, blocks + slots))


def test_the_first_copies_wait_for_whoever_had_the_memory_before(cuda):
    device = cuda(0)
    before = []
    device.streams[0].work.append(("do", lambda: before.append("done")))
    order = CudaStreams(CARD, 2)
    target = Target(device)
    order.copy(0, target, "weights")
    device.run(until=lambda: target.value is not None)
    assert before == ["done"]


def test_a_slot_that_is_filled_twice_holds_what_came_last(cuda):
    device = cuda(0)
    order = CudaStreams(CARD, 2)
    target = Target(device)
    order.copy(0, target, "forgotten")
    order.copy(0, target, "wanted")
    order.finish()
    assert target.value == "wanted"


def test_on_a_cpu_copies_run_at_once():
    order = order_on(torch.device("cpu"), 2)
    assert isinstance(order, InTurn)
    target = torch.zeros(2)
    order.copy(0, target, torch.ones(2))
    assert torch.equal(target, torch.ones(2))
