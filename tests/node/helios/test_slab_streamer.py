"""Blocks are there when they are used, to the last byte, however late copies come.

`LateCopies` raises where a block would be used before it has arrived, or a slot overwritten while
its block may be at work.
"""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from node_agent.render.helios.slabs.host import HostSlabs
from node_agent.render.helios.slabs.layout import Layout, tensors_of
from node_agent.render.helios.slabs.plan import spread
from node_agent.render.helios.slabs.streamer import Home, Streamer
from tests.fixtures.late_copies import LateCopies

TYPES = [torch.bfloat16, torch.float32, torch.int8]


class Broken(Exception):
    """Ends a pass in its midst."""


class Blocks:
    """Blocks of random tensors, some of them streamed, and what they have to be."""

    def __init__(self, blocks, streamed, slots, chance):
        self.modules = [self._module(chance) for _ in range(blocks)]
        self.expected = [
            {name: tensor.clone() for name, tensor in tensors_of(module).items()}
            for module in self.modules
        ]
        self.order = LateCopies(chance)
        host = HostSlabs(page_locked=False)
        self.homes = {}
        for number in spread(streamed, blocks):
            layout = Layout.of(self.expected[number])
            self.homes[number] = Home(layout, host.slab(layout.size))
            layout.write(self.homes[number].slab, self.expected[number])
        size = max(home.layout.size for home in self.homes.values())
        self.slots = [torch.empty(size, dtype=torch.uint8) for _ in range(slots)]
        self.streamer = Streamer(self.modules, self.homes, self.slots, self.order, host)

    def _module(self, chance):
        module = nn.Module()
        for number in range(chance.randint(1, 4)):
            shape = [chance.randint(1, 40) for _ in range(chance.randint(1, 2))]
            bits = torch.tensor(chance.choices(range(-100, 100), k=shape[0] * shape[-1] or 1))
            tensor = bits[: shape[0]].to(chance.choice(TYPES)).repeat(chance.randint(1, 300))
            if chance.random() < 0.2:
                module.register_buffer(f"tensor_{number}", tensor)
            else:
                held = nn.Parameter(tensor, requires_grad=False)
                module.register_parameter(f"tensor_{number}", held)
        return module

    def use(self, number, *, breaks=False):
        """Have a block at work: it is what it was, from the beginning of its work to the end."""
        with self.streamer.block(number):
            self.check(number)
            if breaks:
                raise Broken
            self.check(number)
            if number in self.homes:
                storages = {slot.data_ptr() for slot in self.slots}
                held = next(iter(tensors_of(self.modules[number]).values()))
                assert held.data_ptr() in storages

    def check(self, number):
        held = tensors_of(self.modules[number])
        for name, tensor in self.expected[number].items():
            assert held[name].dtype is tensor.dtype
            assert torch.equal(held[name], tensor)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.data())
def test_every_block_is_itself_whenever_it_is_used(seed, data):
    blocks = data.draw(st.integers(1, 9), "blocks")
    streamed = data.draw(st.integers(1, blocks), "streamed")
    slots = data.draw(st.integers(1, 3), "slots")
    each = Blocks(blocks, streamed, slots, random.Random(seed))
    for _ in range(data.draw(st.integers(1, 4), "passes")):
        order = list(range(blocks))
        if data.draw(st.booleans(), "out of order"):
            order = data.draw(st.lists(st.integers(0, blocks - 1), max_size=12), "order")
        breaks_at = data.draw(st.one_of(st.none(), st.integers(0, 12)), "breaks at")
        try:
            for turn, number in enumerate(order):
                each.use(number, breaks=turn == breaks_at)
        except Broken:
            continue
    each.streamer.close()
    assert each.order.is_finished
    for number in range(blocks):  # at home again
        each.check(number)


def turns_asked_for(blocks):
    """Numbers of the streamed blocks, in the order in which copies of them were asked for."""
    by_slab = {home.slab.data_ptr(): number for number, home in blocks.homes.items()}
    return [by_slab[source.data_ptr()] for _, source in blocks.order.copied]


@pytest.mark.parametrize("slots", [2, 3])
def test_the_next_pass_is_on_its_way_before_it_begins(slots):
    blocks = Blocks(8, 5, slots, random.Random(1))
    numbers = sorted(blocks.homes)
    assert turns_asked_for(blocks) == numbers[:slots], "before the first pass"
    for number in range(8):
        blocks.use(number)
    assert turns_asked_for(blocks) == [*numbers, *numbers[:slots]]
    for number in range(8):
        blocks.use(number)
    assert turns_asked_for(blocks) == [*numbers, *numbers, *numbers[:slots]], "each once in a pass"


def test_a_pass_that_was_broken_off_begins_anew():
    blocks = Blocks(6, 6, 2, random.Random(1))
    for number in range(3):
        blocks.use(number)
    with pytest.raises(Broken):
        blocks.use(3, breaks=True)
    before = len(blocks.order.copied)
    for number in range(6):
        blocks.use(number)
    assert turns_asked_for(blocks)[before:] == [0, 1, 2, 3, 4, 5, 0, 1]


def test_more_blocks_at_work_than_slots_are_refused():
    blocks = Blocks(4, 4, 2, random.Random(1))
    with (
        blocks.streamer.block(0),
        blocks.streamer.block(1),
        pytest.raises(RuntimeError, match="more blocks are at work"),
        blocks.streamer.block(2),
    ):
        pass
    blocks.use(2)


def test_whoever_drops_it_waits_for_the_copies():
    blocks = Blocks(4, 4, 2, random.Random(1))
    del blocks.streamer
    assert blocks.order.is_finished


def test_the_double_sees_what_it_should():
    slot, source = torch.zeros(4, dtype=torch.uint8), torch.ones(4, dtype=torch.uint8)
    late = LateCopies(random.Random(0))
    late.copy(0, slot, source)
    with pytest.raises(AssertionError, match="used before its block had arrived"):
        late.used(0)
    late.arrive(0)
    assert torch.equal(slot, source)
    with pytest.raises(AssertionError, match="overwritten while its block is at work"):
        late.copy(0, slot, source)
