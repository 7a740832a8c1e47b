"""A converted model is the model that the libraries would load in that type, bit for bit."""

import json
import shutil
import struct
from collections import namedtuple

import pytest
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, HeliosTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel

from node_agent.models import ModelError, load_manifest, load_verified, write_manifest
from node_agent.models.watch import Unwatched
from node_agent.render.helios import shards
from node_agent.render.helios.convert import Type, convert
from node_agent.render.helios.renderer import HeliosRenderer

PARTS = {"transformer": HeliosTransformer3DModel, "text_encoder": UMT5EncoderModel}
TORCH = {Type.BFLOAT16: torch.bfloat16, Type.FLOAT16: torch.float16}


@pytest.fixture(scope="module")
def source(model_directory, tmp_path_factory):
    """A tiny model with its transformer in shards, as the hub has it."""
    directory = tmp_path_factory.mktemp("convert") / "tiny"
    shutil.copytree(model_directory(), directory)
    transformer = HeliosTransformer3DModel.from_pretrained(directory, subfolder="transformer")
    shutil.rmtree(directory / "transformer")
    transformer.save_pretrained(directory / "transformer", max_shard_size="60KB")
    write_manifest(directory, name="helios-tiny", revision="c0ffee")
    assert len(list((directory / "transformer").glob("*.safetensors"))) > 3
    return directory


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    target = tmp_path_factory.mktemp("converted") / "tiny-bf16"
    convert(source, target)
    return target


def load(directory, part, **options):
    model = PARTS[part].from_pretrained(directory, subfolder=part, local_files_only=True, **options)
    return model.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", Type)
def test_it_loads_to_what_the_download_loads_to_in_that_type(source, tmp_path, part, dtype):
    convert(source, tmp_path / "converted", dtype=dtype)
    theirs = load(source, part, dtype=TORCH[dtype])
    assert_same(load(tmp_path / "converted", part, dtype=TORCH[dtype]), theirs)
    stored = {}
    for shard in (tmp_path / "converted" / part).glob("*.safetensors"):
        stored |= load_file(shard)
    assert {name: tensor.dtype for name, tensor in stored.items()} == {
        name: theirs[name].dtype for name in stored
    }, "nothing is left to cast at loading"


def test_what_the_transformer_keeps_in_float32_keeps_every_bit(source, converted):
    kept = HeliosTransformer3DModel._keep_in_fp32_modules
    before, after = load(source, "transformer"), {}
    for shard in (converted / "transformer").glob("*.safetensors"):
        after |= load_file(shard)
    whole = {name for name, tensor in after.items() if tensor.dtype == torch.float32}
    assert whole == {name for name in before if set(name.split(".")) & set(kept)}
    assert 0 < len(whole) < len(before)
    for name in whole:
        assert torch.equal(before[name], after[name]), name


def test_the_vae_keeps_every_bit(source, converted):
    one, other = (
        AutoencoderKLWan.from_pretrained(directory, subfolder="vae").state_dict()
        for directory in (source, converted)
    )
    assert all(tensor.dtype == torch.float32 for tensor in other.values())
    assert_same(one, other)


def test_the_stock_pipeline_and_our_renderer_load_it(converted):
    pipeline = DiffusionPipeline.from_pretrained(converted, local_files_only=True)
    assert pipeline.text_encoder.dtype == torch.bfloat16, "as its configuration says"
    assert HeliosRenderer(converted).model_digest == load_manifest(converted).digest


def test_its_manifest_says_where_it_comes_from(source, converted):
    manifest = load_verified(converted)
    assert manifest.revision == "c0ffee, converted to bfloat16"
    assert manifest.name == "helios-tiny-bfloat16"
    assert manifest.variant == "distilled"
    assert manifest.size < load_manifest(source).size
    unchanged = {"tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "vae/config.json"}
    hashes = [
        {file.path: file.sha256 for file in one.files if file.path in unchanged}
        for one in (manifest, load_manifest(source))
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0].keys() == unchanged


def test_the_index_says_the_new_size(converted):
    index = json.loads(
        (converted / "transformer/diffusion_pytorch_model.safetensors.index.json").read_text()
    )
    tensors = {}
    for shard in (converted / "transformer").glob("*.safetensors"):
        tensors |= load_file(shard)
    assert index["metadata"]["total_size"] == sum(each.nbytes for each in tensors.values())
    assert index["weight_map"].keys() == tensors.keys()


def test_the_same_conversion_gives_the_same_digest(source, converted, tmp_path):
    assert convert(source, tmp_path / "again").digest == load_manifest(converted).digest


def test_a_tensor_larger_than_a_block_is_cast_block_by_block(
    source, converted, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "BLOCK_BYTES", 100)
    largest = []
    real = torch.Tensor.to

    def to(tensor, *args, **options):
        largest.append(tensor.nbytes)
        return real(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", to)
    manifest = convert(source, tmp_path / "blocks")
    assert manifest.digest == load_manifest(converted).digest
    rows = [
        tensor.nbytes // (tensor.shape[0] if tensor.dim() else 1)
        for shard in source.rglob("*.safetensors")
        for tensor in load_file(shard).values()
    ]
    assert max(largest) <= max(100, *rows)


def test_a_conversion_that_was_killed_goes_on_with_the_next_shard(
    source, converted, tmp_path, monkeypatch
):
    class Killed(Unwatched):
        def advance(self, count):
            written = list((tmp_path / ".target.partial").rglob("*-of-*.safetensors"))
            if len([path for path in written if path.name[0] != "."]) == 2:
                raise KeyboardInterrupt

    target = tmp_path / "target"
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, watch=Killed())
    assert not target.exists()
    finished = sorted((tmp_path / ".target.partial").rglob("*-of-*.safetensors"))
    (finished[0].parent / ".shard.safetensors.77.tmp").write_bytes(b"half")  # of a kill -9
    before = [path.stat().st_ino for path in finished]
    manifest = convert(source, target)
    assert manifest.digest == load_manifest(converted).digest
    names = [path.relative_to(tmp_path / ".target.partial") for path in finished]
    assert [(target / name).stat().st_ino for name in names] == before


def test_what_another_conversion_left_is_not_taken_over(source, converted, tmp_path):
    class Killed(Unwatched):
        def advance(self, count):
            if list((tmp_path / ".target.partial").rglob("*-of-*.safetensors")):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "target", dtype=Type.FLOAT16, watch=Killed())
    assert convert(source, tmp_path / "target").digest == load_manifest(converted).digest


def test_a_short_disk_is_told_of_in_numbers_before_weights_are_written(
    source, tmp_path, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5, 5))
    with pytest.raises(ModelError, match=r"\d+ bytes \(.* GB\) are needed and 5 .* are free"):
        convert(source, tmp_path / "target")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_disk_needed_is_what_it_takes(source, converted, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    size = load_manifest(converted).size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, size - 1))
    with pytest.raises(ModelError, match="make room"):
        convert(source, tmp_path / "target")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, size))
    convert(source, tmp_path / "target")


@pytest.mark.parametrize("lost", ["zeros", "missing"])
def test_a_text_encoder_without_embeddings_is_refused(source, tmp_path, lost):
    broken = shutil.copytree(source, tmp_path / "broken")
    file = broken / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        if name in tensors:
            tensors[name].zero_()
            if lost == "missing":
                del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    write_manifest(broken, name="broken", revision="1")
    with pytest.raises(ModelError, match="token embeddings"):
        convert(broken, tmp_path / "target")


def test_a_damaged_source_is_not_converted(source, tmp_path):
    broken = shutil.copytree(source, tmp_path / "broken")
    file = broken / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + struct.pack("<f", 1.0))
    with pytest.raises(ModelError, match="vae/"):
        convert(broken, tmp_path / "target")


def test_what_is_converted_already_stays_and_what_else_is_there_is_left_alone(
    source, converted, tmp_path
):
    before = (converted / "model_index.json").stat().st_ino
    assert convert(source, converted) == load_manifest(converted)
    assert (converted / "model_index.json").stat().st_ino == before
    with pytest.raises(ModelError, match="something else"):
        convert(source, converted, dtype=Type.FLOAT16)
