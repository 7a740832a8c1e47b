"""LoRAs are pinned, fused as the stock pipeline fuses them, and gone for the clip after."""

import warnings

import numpy as np
import pytest
import torch
from diffusers import HeliosPyramidPipeline, HeliosTransformer3DModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from node_agent.models import write_manifest
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import LoraUse, PromptError
from tests.node.helios.stock import STOCK_GAMMA, assert_equal_to_stock

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.2"]
"""Cross-attention's keys and values among them, which live apart from the blocks."""


@pytest.fixture(scope="module")
def loras(tmp_path_factory, model_directory):
    """A directory with two pinned LoRAs."""
    folder = tmp_path_factory.mktemp("loras")
    for seed, name in enumerate(["noir", "toon"]):
        transformer = HeliosTransformer3DModel.from_pretrained(
            model_directory("distilled", STOCK_GAMMA), subfolder="transformer"
        )
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False)
        transformer.add_adapter(config)
        HeliosPyramidPipeline.save_lora_weights(
            folder / name, get_peft_model_state_dict(transformer)
        )
        write_manifest(folder / name, name=name, revision=f"seed {seed}")
    return folder


@pytest.fixture(scope="module")
def with_loras(model_directory, loras):
    return HeliosRenderer(model_directory("distilled", STOCK_GAMMA), loras=loras)


@pytest.mark.parametrize(
    "uses", [[("noir", 1.0)], [("toon", 0.4)], [("noir", 0.7), ("toon", -0.5)]], ids=str
)
def test_pictures_equal_the_stock_pipeline_s(
    with_loras, loras, model_directory, spec, render, uses
):
    pipeline = HeliosPyramidPipeline.from_pretrained(model_directory("distilled", STOCK_GAMMA))
    pipeline.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a second one
        for name, _ in uses:
            pipeline.load_lora_weights(loras / name, adapter_name=name)
    names, scales = zip(*uses, strict=True)
    pipeline.set_adapters(list(names), list(scales))
    pipeline.fuse_lora(adapter_names=list(names))
    pipeline.unload_lora_weights()
    clip = spec(
        frames=66,
        amplify_first_chunk=False,
        loras=tuple(LoraUse(name=name, scale=scale) for name, scale in uses),
    )
    assert_equal_to_stock(
        pipeline,
        with_loras,
        clip,
        render,
        guidance_scale=1.0,
        pyramid_num_inference_steps_list=[1, 1, 1],
    )


def test_a_clip_without_them_is_as_if_there_were_none(with_loras, spec, render):
    noir = (LoraUse(name="noir"),)
    plain = with_loras.start(spec(frames=33)).step(lambda: False)
    changed = with_loras.start(spec(frames=33, loras=noir)).step(lambda: False)
    again = with_loras.start(spec(frames=33)).step(lambda: False)
    assert not np.array_equal(changed.frames, plain.frames)
    assert np.array_equal(again.frames, plain.frames)


def test_negatives_are_bound_to_model_and_loras(with_loras, spec):
    digests = {
        with_loras.digest(spec(loras=tuple(LoraUse(name=n, scale=s) for n, s in uses)))
        for uses in [(), (("noir", 1.0),), (("noir", 0.5),), (("toon", 1.0),)]
    }
    assert len(digests) == 4
    assert with_loras.digest(spec()) == with_loras.model_digest


def test_one_that_is_not_there_is_said_at_once(with_loras, renderer, spec):
    wanted = spec(loras=(LoraUse(name="opera"),))
    with pytest.raises(PromptError, match=r"LoRA opera: not in .*; there are noir, toon"):
        with_loras.start(wanted)
    with pytest.raises(PromptError, match="start it with --loras DIR"):
        renderer.start(wanted)
    with pytest.raises(PromptError, match="not in"):
        with_loras.start(spec(loras=(LoraUse(name="../loras"),)))


def test_a_damaged_one_does_not_load(with_loras, loras, spec):
    file = next((loras / "toon").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    try:
        with pytest.raises(PromptError, match=r"(?s)LoRA toon: .*SHA-256"):
            with_loras.start(spec(loras=(LoraUse(name="toon"),)))
    finally:
        content[-1] ^= 1
        file.write_bytes(content)


def test_one_of_another_model_is_refused_and_the_next_clip_renders(with_loras, loras, spec, render):
    from safetensors.torch import save_file

    folder = loras / "wide"
    folder.mkdir()
    key = "transformer.blocks.0.attn1.to_q.lora_{}.weight"
    weights = {key.format("A"): torch.zeros(4, 4096), key.format("B"): torch.zeros(4096, 4)}
    save_file(weights, folder / "pytorch_lora_weights.safetensors")
    write_manifest(folder, name="wide", revision="elsewhere")
    clip = with_loras.start(spec(frames=33, loras=(LoraUse(name="wide"),)))
    with pytest.raises(PromptError, match=r"LoRA wide: .* does not fit this model"):
        clip.step(lambda: False)
    assert render(with_loras.start(spec(frames=33)), 1)
