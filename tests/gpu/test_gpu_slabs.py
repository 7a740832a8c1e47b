"""Weights in slabs on a real GPU: page-locked, within their plan, and equal to resident ones."""

import pytest
import torch

from node_agent.render.helios import model as model_module
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.placement import Room
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.slabs.homes import Homes, Parted
from node_agent.render.helios.slabs.host import HostSlabs
from node_agent.render.helios.slabs.plan import RAM_RESERVE_BYTES, WORKING_BYTES, Budget, plan

pytestmark = pytest.mark.gpu

BLOCKS = 6
SMALL = {"num_attention_heads": 4, "text_dim": 32, "ffn_dim": 2048, "num_layers": BLOCKS}
SMALL_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
ROUNDING_BYTES = 48 << 20
"""PyTorch takes memory in pieces of 2 and 20 MB."""


@pytest.fixture
def sizes():
    return Parted.of(RandomWeights(SMALL).empty_transformer(torch.bfloat16)).sizes


def test_host_slabs_are_page_locked_until_they_are_closed(card):
    torch.zeros(1, device=card)
    slabs = HostSlabs(page_locked=True)
    slab = slabs.slab(5_000_001)
    assert slab.is_pinned()
    slabs.close()
    assert not slab.is_pinned()


@pytest.mark.parametrize("slots", [2, 3])
def test_the_card_holds_what_was_planned(card, sizes, slots):
    budget = Budget(vram=sizes.total * 9, ram=sizes.total * 9)
    where = plan(sizes, budget, slots=slots, least=True)
    before = torch.cuda.memory_reserved(card)
    stock = RandomWeights(SMALL).empty_transformer(torch.bfloat16)
    homes = Homes(stock, where, card, page_locked=True)
    RandomWeights(SMALL).fill(stock.state_dict(), card)
    streamer = homes.stream(stock)
    taken = torch.cuda.memory_reserved(card) - before
    assert taken <= where.vram_bytes + ROUNDING_BYTES
    streamer.close()


@pytest.mark.parametrize("pageable", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_clips_are_equal_at_every_budget(
    card, sizes, quick, rendered, monkeypatch, assert_equal_chunks, kept, pageable
):
    spec = quick()
    whole = rendered(HeliosModel(RandomWeights(SMALL, SMALL_VAE), card), spec)
    plenty = Budget(vram=sizes.total * 9, ram=sizes.total * 9)
    vram = plan(sizes, plenty, least=True).vram_bytes + kept * sizes.blocks[0]
    free = Room(WORKING_BYTES + vram, RAM_RESERVE_BYTES + sizes.total)
    monkeypatch.setattr(model_module, "room", lambda *_: free)
    streamed = HeliosModel(RandomWeights(SMALL, SMALL_VAE), card, pageable=pageable)
    assert (streamed.placement.blocks, streamed.placement.resident) == (BLOCKS, kept)
    assert_equal_chunks(rendered(streamed, spec), whole)
