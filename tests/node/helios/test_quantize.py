"""Weights in fewer bits: which they are, their numbers, and clips that are rendered with them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios import low_bits, quantize
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.quantize import lay_out, matrices, write
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.renderer import HeliosRenderer, SoloClip
from node_agent.render.helios.rounding import quantised
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.slabs.plan import SLOTS, WORKING_BYTES, Budget, Plan, plan
from node_agent.render.profiles import EXACT, FAST, FAST_FP8
from node_agent.render.renderer import Checkpoint, needed_negatives
from tests.node.helios import test_slab_clip, test_slab_files
from tests.node.helios.small import SMALL, SMALL_VAE
from tests.node.helios.waiting import whole_chunks

BLOCKS = SMALL["num_layers"]
CPU = torch.device("cpu")
CPU_TYPE = torch.float32
CHUNKS = 3

late = test_slab_clip.late
wide = test_slab_files.wide


def fast_sizes():
    stock = RandomWeights(SMALL).empty_transformer(torch.float32)
    lay_out(stock, FAST)
    return Parted.of(stock).sizes


def budgets():
    """VRAM for weights by the number of blocks that it keeps; those at the ends are the first."""
    sizes = fast_sizes()
    plenty = 9 * sizes.total
    least = plan(sizes, Budget(vram=plenty, ram=plenty), least=True).vram_bytes
    ends = Plan(sizes, (1, 2, 3), SLOTS, prompt_resident=False).vram_bytes
    return {0: least, 2: ends, BLOCKS: plenty}


BUDGETS = budgets()


def load(profile=FAST, **options):
    return HeliosModel(RandomWeights(SMALL, SMALL_VAE), CPU, profile=profile, **options)


def start(model, spec, checkpoint=None):
    return SoloClip(model, PromptEncoder(model), spec, checkpoint)


@pytest.fixture(scope="module")
def clip_spec(spec):
    return spec(frames=33 * CHUNKS)


@pytest.fixture(scope="module")
def resident():
    return load()


@pytest.fixture(scope="module")
def whole(resident, clip_spec, render):
    return render(start(resident, clip_spec), CHUNKS)


def test_the_blocks_matrices_lose_bits_and_nothing_else_does():
    stock = RandomWeights(SMALL).empty_transformer(torch.bfloat16)
    names = [name for name, _ in stock.named_parameters()]
    chosen = matrices(names, BLOCKS, FAST)
    assert {name.split(".", 2)[1] for name in chosen} == {"1", "2", "3"}
    assert {name.split(".", 2)[2] for name in chosen} == {
        *(f"attn1.{part}.weight" for part in ("to_q", "to_k", "to_v", "to_out.0")),
        *(f"attn2.{part}.weight" for part in ("to_q", "to_out.0")),
        *("ffn.net.0.proj.weight", "ffn.net.2.weight"),
    }
    assert matrices(names, BLOCKS, EXACT) == []


def test_the_real_model_s_blocks_take_half_of_what_they_took():
    def blocks(profile):
        stock = RandomWeights().empty_transformer(torch.bfloat16)
        lay_out(stock, profile)
        return Parted.of(stock).sizes.blocks

    exact, fast, in_float8 = blocks(EXACT), blocks(FAST), blocks(FAST_FP8)
    assert (exact[0], exact[-1]) == (fast[0], fast[-1])
    assert 0.5 < fast[1] / exact[1] < 0.502
    assert in_float8 == fast


@pytest.mark.parametrize("numbers", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_a_row_s_numbers_are_its_own_and_near(numbers):
    rows = torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    rows[3] = 0
    rows[5] *= 1e-6
    found, scale = quantised(rows, numbers)
    alone, own_scale = quantised(rows[5:6], numbers)
    assert torch.equal(found[5:6].view(torch.uint8), alone.view(torch.uint8))
    assert torch.equal(scale[5:6], own_scale)
    restored = found.float() * scale
    step = scale if numbers == torch.int8 else torch.maximum(rows.abs() / 8, scale / 2**9)
    assert bool(((restored - rows).abs() <= step * 0.5001).all())
    assert not restored[3].any()


def test_rows_are_reckoned_a_few_at_a_time(monkeypatch):
    """And from bfloat16: what a CPU has in float32 gets a GPU's numbers."""
    weights = torch.randn(50, 24, generator=torch.Generator().manual_seed(2))
    parts = []
    for numbers in (1 << 24, 24 * 7):
        monkeypatch.setattr(quantize, "_BLOCK", numbers)
        place = low_bits.tensor(torch.empty(50, 24, dtype=torch.int8), torch.empty(50, 1), CPU_TYPE)
        write(place, weights, CPU)
        parts.append((place.qdata, place.scale))
    for one, other in zip(*parts, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(parts[0][1], quantised(weights.bfloat16().float(), torch.int8)[1])


@pytest.mark.parametrize("shape", [(40, 24), (2, 9, 24)], ids=str)
def test_products_are_of_rounded_rows_and_weights_and_nothing_else_is_lost(monkeypatch, shape):
    generator = torch.Generator().manual_seed(3)
    rows, weights = (torch.randn(size, generator=generator) for size in (shape, (48, 24)))
    bias = torch.randn(48, generator=generator)
    place = low_bits.tensor(torch.empty(48, 24, dtype=torch.int8), torch.empty(48, 1), CPU_TYPE)
    write(place, weights, CPU)
    numbers, scale = quantised(rows.reshape(-1, 24), torch.int8)
    expected = (numbers.double() * scale) @ (place.qdata.double() * place.scale).t() + bias
    found = torch.nn.functional.linear(rows, place, bias)
    assert found.shape == (*shape[:-1], 48)
    assert torch.allclose(found.double().reshape(-1, 48), expected, rtol=1e-6, atol=1e-5)
    monkeypatch.setattr(low_bits, "ROWS_MAX", 17)
    assert torch.equal(torch.nn.functional.linear(rows, place, bias), found)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert torch.allclose(torch.nn.functional.linear(rows, place, bias), found, atol=1e-5)


@pytest.mark.parametrize("kept", BUDGETS)
def test_streamed_clips_are_resident_ones(
    late, clip_spec, whole, render, assert_equal_chunks, kept
):
    model = load(vram_bytes=WORKING_BYTES + BUDGETS[kept])
    assert (model.placement.blocks, model.placement.resident) == (BLOCKS, kept)
    assert_equal_chunks(render(start(model, clip_spec), CHUNKS), whole)


def test_a_resumed_clip_is_the_uninterrupted_one(
    resident, clip_spec, whole, render, assert_equal_chunks
):
    for chunk in range(1, CHUNKS):
        negatives = {index: whole[index].negative for index in needed_negatives(chunk)}
        clip = start(resident, clip_spec, Checkpoint(chunk, negatives))
        assert_equal_chunks(render(clip, CHUNKS), whole[chunk:])


def test_a_clip_in_company_is_close_to_itself_alone(resident, spec):
    specs = [spec(clip_id=str(seed), seed=seed) for seed in range(3)]
    lanes = [start(resident, each) for each in specs]
    together = whole_chunks(render_chunks(resident, lanes, lambda _: False))
    for own, lane in zip(specs, together, strict=True):
        alone = start(resident, own).step(lambda: False)
        assert np.abs(alone.negative.latents - lane.negative.latents).max() < 1e-2
        assert lane.profile == "fast"


def test_one_renderer_changes_profiles_between_clips(clip_spec, whole, render, assert_equal_chunks):
    model = load(EXACT)
    prompts = PromptEncoder(model)
    clips = [
        render(SoloClip(model, prompts, clip_spec, None, profile), 1)
        for profile in (EXACT, FAST, EXACT)
    ]
    assert_equal_chunks(clips[1], whole[:1])
    assert_equal_chunks(clips[0], clips[2])
    assert not np.array_equal(clips[0][0].negative.latents, clips[1][0].negative.latents)


def test_compiled_blocks_share_a_graph_for_each_kind(late, clip_spec, whole, assert_equal_chunks):
    """Blocks at the ends are whole; the others are alike, whichever slot they are in."""
    torch._dynamo.reset()
    model, graphs = load(vram_bytes=WORKING_BYTES + BUDGETS[0]), []

    def compiled(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    for block in model.transformer.blocks:
        block.compile(backend=compiled, fullgraph=True, dynamic=False)
    assert_equal_chunks([start(model, clip_spec).step(lambda: False)], whole[:1])
    assert len(graphs) == 2 * 3
    torch._dynamo.reset()


def test_compiled_code_is_kept_by_what_decides_it():
    """And not by a weight's numbers, or where they lie."""

    def key(rows=48, dtype=torch.float32):
        numbers = torch.randint(-9, 9, (rows, 24), dtype=torch.int8)
        return low_bits.tensor(numbers, torch.rand(rows, 1), dtype)._stable_hash_for_caching()

    assert key() == key()
    assert len({key(), key(rows=40), key(dtype=torch.bfloat16)}) == 3


@pytest.mark.parametrize("is_streamed", ["yes", "no"])
def test_no_whole_copy_is_in_memory_while_it_loads(wide, is_streamed):
    """The weights as they will be, one tensor of a file (float32 there), and what is reckoned."""
    child = subprocess.run(
        [
            *(sys.executable, Path(__file__).with_name("load_child.py")),
            *(wide, "float32", is_streamed, "fast"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(child.stdout)
    reckoned = 3 * found["largest"]
    most = found["weights"] + found["largest"] + reckoned + test_slab_files.SLACK_BYTES
    assert found["weights"] < 120e6  # of 221 MB
    assert found["weights"] <= found["peak"] <= most


def test_matrices_that_a_card_cannot_multiply_are_named():
    odd = SMALL | {"ffn_dim": 52}
    with pytest.raises(ModelError, match=r"fast multiplies .* multiples of 8; blocks\.1\.ffn"):
        load_odd(odd)


def load_odd(shape):
    return HeliosModel(RandomWeights(shape, SMALL_VAE), CPU, profile=FAST)


def test_torchao_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "node_agent.render.helios.low_bits", None)
    monkeypatch.delattr("node_agent.render.helios.low_bits")
    with pytest.raises(ModelError, match=r"fast needs torchao .*heliostat\[node\]"):
        load()


def test_a_pinned_profile_is_the_only_one(model_directory, spec):
    renderer = HeliosRenderer(model_directory(), profile="fast")
    assert renderer.profiles == ("fast",)
    assert renderer.start(spec()).profile == FAST
