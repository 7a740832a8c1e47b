"""A model stored quantised: half the size, the same clips, and one profile only."""

import json

import pytest
import torch
from diffusers import HeliosTransformer3DModel
from safetensors import safe_open
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.models import ModelError, describe, load_manifest, verify
from node_agent.models.info import QUANTISED
from node_agent.render.helios import artifact, tiny
from node_agent.render.helios.artifact import quantise
from node_agent.render.helios.convert import convert
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.profiles import EXACT, FAST, FAST_FP8
from node_agent.render.renderer import LoraUse, PromptError
from tests.node.helios.small import SMALL

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A pinned model with blocks between its ends."""
    directory = tmp_path_factory.mktemp("models") / "five"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "_transformer", lambda: HeliosTransformer3DModel(**SMALL).eval())
        tiny.build_tiny(directory)
    return directory


@pytest.fixture(scope="module")
def stored(source, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "five-fast"
    quantise(source, directory, FAST)
    return directory


def bytes_of(directory):
    return sum(path.stat().st_size for path in (directory / "transformer").glob("*.safetensors"))


def test_it_is_a_pinned_model_that_says_what_it_is_for(source, stored):
    assert verify(stored) == []
    manifest, before = load_manifest(stored), load_manifest(source)
    assert (manifest.name, manifest.variant) == ("helios-tiny-fast", before.variant)
    assert manifest.revision == f"{before.revision}, for fast"
    assert manifest.digest != before.digest
    assert (describe(stored).profile, describe(source).profile) == ("fast", "")


def test_only_the_transformer_is_written_anew(source, stored):
    for file in load_manifest(source).files:
        if not file.path.startswith("transformer/"):
            assert (stored / file.path).samefile(source / file.path)
    assert len(list((stored / "transformer").glob("*.safetensors"))) == 1 + SMALL["num_layers"]
    names = {}
    for path in (stored / "transformer").glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names |= {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert names["blocks.1.attn1.to_q.weight.qdata"] == "I8"
    assert names["blocks.1.attn1.to_q.weight.scale"] == "F32"
    assert names["blocks.0.attn1.to_q.weight"] == "F32"
    assert names["blocks.1.attn2.to_k.weight"] == "F32"
    assert "blocks.1.attn1.to_q.weight" not in names


@pytest.mark.parametrize("streamed", [False, True])
def test_loaded_it_is_what_loading_would_have_made(source, stored, streamed):
    options = {"profile": FAST, "streamed": streamed, "vram_bytes": 6 << 30}
    ours, theirs = (
        Parted.of(HeliosModel(directory, CPU, **options).transformer)
        for directory in (stored, source)
    )
    for mine, other in zip(ours.blocks, theirs.blocks, strict=True):
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            for part in ("qdata", "scale") if hasattr(tensor, "qdata") else ("data",):
                assert torch.equal(getattr(tensor, part), getattr(other[name], part)), name


def test_clips_are_the_same_and_no_profile_has_to_be_named(
    source, stored, spec, assert_equal_chunks
):
    here, there = HeliosRenderer(stored), HeliosRenderer(source, profile="fast")
    assert here.profiles == there.profiles == ("fast",)
    clips = [each.start(spec(quality="draft")).step(lambda: False) for each in (here, there)]
    assert_equal_chunks([clips[0]], [clips[1]])


@pytest.mark.parametrize("profile", [EXACT, FAST_FP8])
def test_another_profile_is_refused_with_what_to_do(stored, profile):
    with pytest.raises(ModelError) as refusal:
        HeliosModel(stored, CPU, profile=profile)
    if profile == EXACT:
        for words in ("stored for the profile fast", "with exact", "quantised from"):
            assert words in str(refusal.value)


def test_loras_are_refused_with_what_to_do(stored, spec):
    with pytest.raises(PromptError, match=r"noir: it is added to whole weights, .*quantised from"):
        HeliosRenderer(stored).start(spec(quality="draft", loras=(LoraUse(name="noir"),)))


def test_it_is_neither_quantised_again_nor_converted(stored, tmp_path):
    with pytest.raises(ModelError, match="is quantised already, for the profile fast"):
        quantise(stored, tmp_path / "again", FAST)
    with pytest.raises(ModelError, match="only a model that is not quantised"):
        convert(stored, tmp_path / "whole")


def test_a_model_without_blocks_between_its_ends_stays_as_it_is(model_directory, tmp_path):
    with pytest.raises(ModelError, match="fast changes nothing of a model with 2 blocks"):
        quantise(model_directory(), tmp_path / "same", FAST)


def test_a_format_that_is_not_known_is_refused(stored, tmp_path):
    copy = tmp_path / "copy"
    (copy / "transformer").mkdir(parents=True)
    (copy / "scheduler").mkdir()
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        (copy / name).write_bytes((stored / name).read_bytes())
    config = json.loads((stored / "transformer" / "config.json").read_text())
    config[QUANTISED]["format"] = 99
    (copy / "transformer" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"format that this version does not know .*quantize"):
        describe(copy)


def test_it_goes_on_where_it_stopped(source, stored, tmp_path, monkeypatch):
    written = []

    def fail_at_third(tensors, place, **options):
        if len(written) == 2:
            raise OSError("pulled the plug")
        written.append(place)
        save(tensors, place, **options)

    save = artifact.save_file
    monkeypatch.setattr(artifact, "save_file", fail_at_third)
    target = tmp_path / "five-fast"
    with pytest.raises(OSError, match="plug"):
        quantise(source, target, FAST)
    assert not target.exists()
    monkeypatch.setattr(
        artifact, "save_file", lambda *a, **o: written.append(a[1]) or save(*a, **o)
    )
    assert quantise(source, target, FAST).digest == load_manifest(stored).digest
    assert len(written) == 1 + SMALL["num_layers"]
    assert quantise(source, target, FAST).digest == load_manifest(stored).digest
    assert len(written) == 1 + SMALL["num_layers"], "it was there"


def test_fp8_is_stored_on_a_machine_without_a_card(source, tmp_path):
    shape = SMALL | {"attention_head_dim": 16, "rope_dim": (6, 4, 6)}
    directory = tmp_path / "sixteen"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "_transformer", lambda: HeliosTransformer3DModel(**shape).eval())
        tiny.build_tiny(directory)
    quantise(directory, tmp_path / "fp8", FAST_FP8)
    assert describe(tmp_path / "fp8").profile == "fast-fp8"
    assert bytes_of(tmp_path / "fp8") < bytes_of(directory)


def test_by_command(source, stored, tmp_path):
    target, models = tmp_path / "five-fast", tmp_path / "models"
    words = ["model", "quantize", str(source), str(target), "--models-dir", str(models), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == load_manifest(stored).digest
    again = CliRunner().invoke(app, ["model", "quantize", str(stored), str(tmp_path / "b")])
    assert "quantised already" in str(again.exception)
