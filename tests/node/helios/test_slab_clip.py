"""Clips through streamed weights are the clips of resident ones, to the last bit.

On a CPU, in float32, at every budget: copies come as late as they can, and what is used too early
or overwritten too soon raises (`LateCopies`).
"""

import random

import numpy as np
import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios.fusion import CompiledBlocks
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.renderer import HeliosRenderer, SoloClip
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.slabs.plan import WORKING_BYTES, Budget, plan
from node_agent.render.renderer import Checkpoint, LoraUse, RenderCancelled, needed_negatives
from tests.fixtures.late_copies import LateCopies
from tests.node.helios import test_helios_loras
from tests.node.helios.small import SMALL, SMALL_VAE
from tests.node.helios.waiting import whole_chunks

BLOCKS = SMALL["num_layers"]
CPU = torch.device("cpu")
CHUNKS = 3

loras = test_helios_loras.loras


SIZES = Parted.of(RandomWeights(SMALL).empty_transformer(torch.float32)).sizes
BLOCK_BYTES = SIZES.blocks[0]


def budgets():
    """VRAM for weights by the number of blocks that it keeps: from none to all."""
    plenty = 9 * SIZES.total
    least = plan(SIZES, Budget(vram=plenty, ram=plenty), least=True).vram_bytes
    return {kept: least + kept * BLOCK_BYTES for kept in (0, 1, 2)} | {BLOCKS: plenty}


BUDGETS = budgets()


@pytest.fixture
def late(monkeypatch):
    """Copies as on a GPU, of all that is loaded from now on."""
    orders = []

    def order_on(_device, _slots):
        orders.append(LateCopies(random.Random(len(orders))))
        return orders[-1]

    monkeypatch.setitem(HeliosModel.__init__.__kwdefaults__, "order_on", order_on)
    return orders


@pytest.fixture(scope="module")
def clip_spec(spec):
    return spec(frames=33 * CHUNKS, steps=(2, 1, 1))


@pytest.fixture(scope="module")
def resident():
    model = HeliosModel(RandomWeights(SMALL, SMALL_VAE), CPU)
    assert model.placement.name == "resident"
    return model


@pytest.fixture
def streamed(late):
    def load(kept):
        vram = WORKING_BYTES + BUDGETS[kept]
        model = HeliosModel(RandomWeights(SMALL, SMALL_VAE), CPU, vram_bytes=vram)
        assert (model.placement.blocks, model.placement.resident) == (BLOCKS, kept)
        assert model.placement.bytes_streamed == (BLOCKS - kept) * BLOCK_BYTES
        assert len(late) == (0 if kept == BLOCKS else 1)
        return model

    return load


def start(model, spec, checkpoint=None):
    return SoloClip(model, PromptEncoder(model), spec, checkpoint)


@pytest.fixture(scope="module")
def whole(resident, clip_spec, render):
    return render(start(resident, clip_spec), CHUNKS)


@pytest.mark.parametrize("kept", BUDGETS)
def test_at_every_budget(streamed, clip_spec, whole, render, assert_equal_chunks, kept):
    assert_equal_chunks(render(start(streamed(kept), clip_spec), CHUNKS), whole)


@pytest.mark.parametrize("kept", [0, 2])
def test_resumed(streamed, clip_spec, whole, render, assert_equal_chunks, kept):
    model = streamed(kept)
    for chunk in range(1, CHUNKS):
        negatives = {index: whole[index].negative for index in needed_negatives(chunk)}
        clip = start(model, clip_spec, Checkpoint(chunk, negatives))
        assert_equal_chunks(render(clip, CHUNKS), whole[chunk:])


@pytest.mark.parametrize("kept", [0, 2])
def test_cancelled_and_taken_again(streamed, clip_spec, whole, assert_equal_chunks, kept):
    """Between any two passes; also where a pass is broken off in its midst."""
    model = streamed(kept)
    clip, chunks = start(model, clip_spec), []
    for passes in range(3):
        asked = []
        with pytest.raises(RenderCancelled):
            clip.step(lambda asked=asked, most=passes: asked.append(1) or len(asked) > most)
        broken = model.transformer.blocks[passes].register_forward_hook(fail)
        with pytest.raises(ZeroDivisionError):
            clip.step(lambda: False)
        broken.remove()
        chunks.append(clip.step(lambda: False))
    assert_equal_chunks(chunks, whole)


def fail(*_arguments):
    raise ZeroDivisionError


@pytest.mark.parametrize("kept", [0, 1])
def test_in_lanes(resident, streamed, spec, assert_equal_chunks, kept):
    """Of which one is cancelled after some passes, as with resident weights."""
    specs = [spec(clip_id=str(seed), seed=seed, steps=(2, 1, 1)) for seed in range(3)]

    def rounds(model):
        clips, asked = [start(model, each) for each in specs], []

        def cancelled(clip):
            asked.append(clip)
            return clip is clips[1] and len(asked) > 14

        made = [whole_chunks(render_chunks(model, clips, cancelled))]
        return [*made, whole_chunks(render_chunks(model, [clips[0], clips[2]], cancelled))]

    expected, found = rounds(resident), rounds(streamed(kept))
    assert expected[0][1] is None
    for ours, theirs in zip(found, expected, strict=True):
        assert [lane is None for lane in ours] == [lane is None for lane in theirs]
        there = [[lane for lane in lanes if lane is not None] for lanes in (ours, theirs)]
        assert_equal_chunks(*there)


def test_the_first_blocks_of_a_clip_are_there_before_it_begins(streamed, late, clip_spec):
    model = streamed(0)
    assert len(late[0].copied) == 2
    start(model, clip_spec).step(lambda: False)
    passes = 2 * 2 + 2 + 2  # the first chunk's are doubled
    assert len(late[0].copied) == passes * BLOCKS + 2


def test_compiled_blocks_are_compiled_once(streamed, clip_spec, whole, render, assert_equal_chunks):
    """All blocks and slots share one graph for each size: where weights lie is not part of it."""
    torch.compiler.reset()
    model, graphs = streamed(1), []

    def compiled(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    model.transformer.run_block = CompiledBlocks(compiled)
    assert_equal_chunks(render(start(model, clip_spec), CHUNKS), whole)
    assert len(graphs) == 3
    torch.compiler.reset()


def test_what_was_dropped_is_finished(streamed, late):
    model = streamed(0)
    model._drop_transformer()
    assert late[0].is_finished
    assert model.transformer is not None
    assert not late[1].is_finished


def test_loras_are_in_the_slabs(loras, late, model_directory, spec, render, assert_equal_chunks):
    """Fused before anything is streamed, gone with the next clip."""
    directory = model_directory("distilled", test_helios_loras.STOCK_GAMMA)
    clips = [
        spec(frames=66, loras=uses)
        for uses in ((LoraUse(name="noir"), LoraUse(name="toon", scale=-0.5)), ())
    ]
    here = HeliosRenderer(directory, loras=loras)
    needed = Parted.of(here._model._parts.empty_transformer(torch.float32)).sizes
    budget = WORKING_BYTES + needed.total
    there = HeliosRenderer(directory, loras=loras, vram_bytes=budget, streamed=True)
    assert there.placement == "streamed"
    films = [[render(each.start(clip), 2) for clip in clips] for each in (here, there)]
    for ours, theirs in zip(*films, strict=True):
        assert_equal_chunks(ours, theirs)
    assert not np.array_equal(films[0][0][0].frames, films[0][1][0].frames)
    assert len(late) == 3, "loaded anew for each set of LoRAs"
    assert [order.is_finished for order in late] == [True, True, False]


def test_a_card_too_small_for_two_blocks_is_refused_before_loading(late):
    with pytest.raises(ModelError, match="5 of 5 blocks streamed through 2 slots"):
        HeliosModel(RandomWeights(SMALL, SMALL_VAE), CPU, vram_bytes=WORKING_BYTES + BUDGETS[0] - 1)
    assert not late


def test_a_host_too_small_is_refused_before_loading(late):
    with pytest.raises(ModelError, match=r"5 of 5 blocks have no room on the card, .*--ram"):
        HeliosModel(
            RandomWeights(SMALL, SMALL_VAE),
            CPU,
            vram_bytes=WORKING_BYTES + BUDGETS[0],
            ram_bytes=1 << 30,
        )
    assert not late
