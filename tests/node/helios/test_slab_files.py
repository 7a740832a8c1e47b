"""Weights come from their files into their places: to the bit, once in memory, or with a reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import HeliosTransformer3DModel
from safetensors.torch import load_file, save_file

from node_agent.models import ModelError
from node_agent.models.info import read_config
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.slabs.files import empty_transformer, fill
from node_agent.render.helios.slabs.homes import Homes, Parted
from node_agent.render.helios.slabs.layout import tensors_of
from node_agent.render.helios.slabs.plan import Budget, plan, resident
from tests.node.helios.small import SMALL

CPU = torch.device("cpu")
WIDE = {
    "num_attention_heads": 4,
    "attention_head_dim": 128,
    "rope_dim": (44, 42, 42),
    "text_dim": 64,
    "ffn_dim": 2048,
    "num_layers": 12,
}
"""Some 200 MB in float32."""
SLACK_BYTES = 24 << 20
"""The heap's own pages, a shard's header, pages of the file around a tensor."""
NAME = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A directory with small weights in several files."""
    directory = tmp_path_factory.mktemp("small")
    stock = RandomWeights(SMALL, seed=3).transformer(torch.float32, CPU)
    stock.save_pretrained(directory, max_shard_size="100KB")
    assert len(list(directory.glob("*.safetensors"))) > 2
    return directory


@pytest.fixture
def single(tmp_path, shards):
    """A directory with the same weights in one file, changed by a function."""

    def build(change=lambda weights: weights):
        weights = {}
        for path in sorted(shards.glob("*.safetensors")):
            weights |= load_file(path)
        save_file(change(weights), tmp_path / NAME)
        return tmp_path

    return build


def loaded(directory, dtype, where=resident):
    stock = empty_transformer(SMALL, dtype)
    homes = Homes(stock, where(Parted.of(stock).sizes), CPU, page_locked=False)
    fill(directory, stock.state_dict(), CPU)
    return stock, homes


def streamed(sizes):
    return plan(sizes, Budget(vram=sizes.total, ram=sizes.total), least=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("where", [resident, streamed])
def test_they_are_those_that_diffusers_loads(shards, single, dtype, where):
    expected = HeliosTransformer3DModel.from_pretrained(shards, dtype=dtype)
    for directory in (shards, single()):
        stock, _ = loaded(directory, dtype, where)
        assert stock.config["num_layers"] == 5
        ours, theirs = tensors_of(stock), tensors_of(expected)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert ours[name].dtype is tensor.dtype, name
            assert torch.equal(ours[name], tensor), name


def test_streamed_blocks_are_whole_slabs_and_the_prompts_weights_apart(shards):
    stock, homes = loaded(shards, torch.bfloat16, streamed)
    slabs = {home.slab.data_ptr(): home.slab for home in homes._homes.values()}
    assert len(slabs) == 5
    parted = Parted.of(stock)
    for block, (begin, slab) in zip(parted.blocks, slabs.items(), strict=True):
        assert "attn2.to_q.weight" in block
        assert not {"attn2.to_k.weight", "attn2.norm_k.weight", "attn2.to_v.bias"} & block.keys()
        addresses = [tensor.data_ptr() for tensor in block.values()]
        assert all(begin <= address < begin + slab.nbytes for address in addresses)
    assert len(parted.prompt) == 5 * 5 + 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda weights: {n: w for n, w in weights.items() if n != "blocks.1.ffn.net.2.bias"},
            rf"{NAME}: blocks\.1\.ffn\.net\.2\.bias cannot be read .*fetch the model again",
        ),
        (
            lambda weights: weights | {"blocks.1.ffn.net.2.bias": torch.zeros(7)},
            rf"{NAME}: blocks\.1\.ffn\.net\.2\.bias has the shape \(7,\).*says \(24,\)",
        ),
        (
            lambda weights: weights | {"proj_out.bias": torch.zeros(64, dtype=torch.int8)},
            rf"{NAME}: proj_out\.bias is of type torch\.int8.*not quantised",
        ),
    ],
    ids=["missing", "shape", "type"],
)
def test_weights_that_are_not_the_models_are_named(single, change, words):
    directory = single(change)
    with pytest.raises(ModelError, match=words):
        loaded(directory, torch.float32)


def test_a_weight_that_no_shard_has_is_named(shards, tmp_path):
    name = "diffusion_pytorch_model.safetensors.index.json"
    index = read_config(shards / name)
    del index["weight_map"]["blocks.3.scale_shift_table"]
    (tmp_path / name).write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"index\.json: blocks\.3\.scale_shift_table is missing"):
        loaded(tmp_path, torch.float32)


def test_a_file_that_is_not_there_or_broken_is_named(tmp_path):
    with pytest.raises(ModelError, match=rf"{NAME}: .* cannot be read"):
        loaded(tmp_path, torch.float32)
    (tmp_path / NAME).write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match=rf"{NAME}: .* cannot be read"):
        loaded(tmp_path, torch.float32)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wide")
    stock = RandomWeights(WIDE).transformer(torch.float32, CPU)
    stock.save_pretrained(directory, max_shard_size="60MB")
    return directory


@pytest.mark.parametrize("is_streamed", ["yes", "no"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_second_copy_is_ever_in_memory(wide, dtype, is_streamed):
    """The weights as they will be, and one tensor of a file, which is float32 there."""
    child = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("load_child.py"),
            wide,
            dtype,
            is_streamed,
            "exact",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(child.stdout)
    assert found["weights"] > (180e6 if dtype == "float32" else 90e6)
    one_tensor = found["largest"] * (1 if dtype == "float32" else 2)
    assert found["weights"] <= found["peak"] <= found["weights"] + one_tensor + SLACK_BYTES
