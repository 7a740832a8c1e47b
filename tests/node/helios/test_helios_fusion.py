"""Compiled blocks: close to those that run as they are written, and compiled no oftener than told.

The compiler itself is run by few tests, for it takes seconds; the others count what it is asked.
"""

import logging
import os
import shutil

import numpy as np
import pytest
import torch
import torch._inductor.config as inductor_config
from torch._inductor.utils import fresh_cache

from node_agent.render.helios import fusion
from node_agent.render.helios.fusion import CompiledBlocks, Fusion, fusion_for, stack_words
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.renderer import SoloClip, stack_id
from tests.gpu.compare import frames_psnr_db
from tests.node.helios.small import SMALL, SMALL_VAE
from tests.node.helios.waiting import whole_chunks

CPU = torch.device("cpu")
STAGES = 3
CLIP_DB_MIN = 60
"""PSNR of a clip's frames, compiled against as written, in float32 on a CPU."""


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch.compiler.reset()
    fusion._can_compile.cache_clear()
    yield
    torch.compiler.reset()
    fusion._can_compile.cache_clear()


@pytest.fixture
def compiler():
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("no C++ compiler is here, which inductor needs on a CPU")


@pytest.fixture(scope="module")
def written():
    return small()


@pytest.fixture
def brief(spec):
    """A clip of one chunk."""
    return spec(frames=33, amplify_first_chunk=False)


class Counted:
    """A compiler that only counts its graphs."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, _inputs):
        self.graphs += 1
        return graph.forward


class Doubled(torch.nn.Module):
    """Stands for a block."""

    def forward(self, rows, others=1.0):
        return rows * 2 * others


DOUBLED = Doubled()


def small(**options):
    return HeliosModel(RandomWeights(SMALL | {"num_layers": 2}, SMALL_VAE), CPU, **options)


def clip(model, spec):
    return SoloClip(model, PromptEncoder(model), spec, None)


def chunk(model, spec):
    return clip(model, spec).step(lambda: False)


def test_a_compiled_clip_is_close(compiler, model_directory, spec):
    """In latents, which are sums of velocities, and in pictures; Base, which has a single stage."""
    brief = spec(frames=33, steps=(2,), guidance_scale=1.0)
    written, compiled = (
        HeliosModel(model_directory("base"), CPU, compiled=each) for each in (False, True)
    )
    assert isinstance(compiled.transformer.run_block, CompiledBlocks)
    ours, theirs = chunk(compiled, brief), chunk(written, brief)
    assert compiled.transformer.run_block.compiles
    assert not np.array_equal(ours.negative.latents, theirs.negative.latents)
    assert abs(ours.negative.latents - theirs.negative.latents).max() < 1e-5
    assert frames_psnr_db([ours], [theirs]) >= CLIP_DB_MIN


def test_as_written_on_a_cpu_unless_asked(written):
    assert fusion_for(CPU, torch.float32) == Fusion(compiled=False)
    assert written.transformer.run_block is fusion.run_block
    assert written.stack_words == ()


def test_a_stack_that_compiles_is_another_one(monkeypatch):
    monkeypatch.setattr(fusion, "_can_compile", lambda _device: True)
    assert stack_words(CPU, torch.float32, True) == ("compiled",)
    assert stack_id(CPU, ("compiled",)) == f"{stack_id(CPU)},compiled"


def test_one_graph_for_each_stage_and_number_of_lanes(written, spec, assert_equal_chunks):
    """Also when a lane has left, and for another transformer of the same shape, as after the text
    encoder or with other LoRAs."""
    specs = [spec(clip_id=str(seed), seed=seed, frames=33, steps=(2, 1, 1)) for seed in range(2)]

    def rounds(model):
        alone = chunk(model, specs[0])
        clips, asked = [clip(model, each) for each in specs], []

        def cancelled(one):
            asked.append(one)
            return one is clips[1] and len(asked) > 14

        lanes = [clip(model, each) for each in specs]
        both = whole_chunks(render_chunks(model, lanes, lambda _clip: False))
        left, gone = whole_chunks(render_chunks(model, clips, cancelled))
        assert gone is None
        return [alone, *both, left]

    counted, model = Counted(), small()
    expected = rounds(written)
    model.transformer.run_block = CompiledBlocks(counted)
    assert_equal_chunks(rounds(model), expected)
    model._drop_transformer()
    model.transformer.run_block = CompiledBlocks(counted)
    assert_equal_chunks([chunk(model, specs[0])], expected[:1])
    assert counted.graphs == 2 * STAGES


def test_more_graphs_than_are_kept_are_made_anew(monkeypatch):
    monkeypatch.setattr(fusion, "GRAPHS_MAX", 2)
    counted = Counted()
    run = CompiledBlocks(counted)
    for lanes in (2, 3, 2, 3, 4, 4):
        assert torch.equal(run(DOUBLED, torch.ones(lanes, 2)), torch.full((lanes, 2), 2.0))
    assert counted.graphs == 3
    run(DOUBLED, torch.ones(2, 2))
    assert counted.graphs == 4


def test_a_block_that_cannot_be_compiled_runs_as_written(caplog):
    asked = []

    def broken(_graph, _inputs):
        asked.append(1)
        raise AssertionError("an operator that nobody knows")

    run = CompiledBlocks(broken)
    for _ in range(2):
        assert torch.equal(run(DOUBLED, torch.ones(3)), torch.full((3,), 2.0))
    assert len(asked) == 1
    assert not run.compiles
    [record] = [each for each in caplog.records if each.name == fusion.__name__]
    assert "all run as they are written" in record.getMessage()
    assert "an operator that nobody knows" in caplog.text


def test_what_a_block_itself_raises_is_raised():
    run = CompiledBlocks(Counted())
    with pytest.raises(RuntimeError, match="size of tensor a"):
        run(DOUBLED, torch.ones(3), torch.ones(2))


def test_without_a_compiler_that_is_said_once(written, brief, caplog, assert_equal_chunks):
    with fresh_cache(), inductor_config.patch({"cpp.cxx": ("/nowhere/c++",)}):
        model = small(compiled=True)
        small(compiled=True)
    assert model.transformer.run_block is fusion.run_block
    assert model.stack_words == ()
    [record] = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "blocks are not compiled for cpu, which is slower" in record.getMessage()
    assert_equal_chunks([chunk(model, brief)], [chunk(written, brief)])
