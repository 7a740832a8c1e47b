"""Our chunk loop gives the stock pipelines' latents and frames, bit for bit, on a CPU."""

import numpy as np
import pytest
import torch
from diffusers import HeliosPipeline, HeliosPyramidPipeline

from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.renderer import HeliosRenderer, SoloClip
from tests.node.helios.stock import STOCK_GAMMA, assert_equal_to_stock, stock_run

CHUNKS = 3


@pytest.mark.parametrize("amplify", [True, False], ids=["amplified", "plain"])
@pytest.mark.parametrize("steps", [(1, 1, 1), (2, 2, 2)], ids=str)
def test_distilled(load_stock, model_directory, spec, render, steps, amplify):
    clip = spec(frames=33 * CHUNKS, steps=steps, amplify_first_chunk=amplify)
    assert_equal_to_stock(
        load_stock("distilled"),
        HeliosRenderer(model_directory("distilled", STOCK_GAMMA)),
        clip,
        render,
        guidance_scale=1.0,
        pyramid_num_inference_steps_list=list(steps),
        is_amplify_first_chunk=amplify,
    )


def test_distilled_defaults_are_the_recipe_of_its_authors(
    load_stock, model_directory, spec, render
):
    """[2, 2, 2], no guidance, the first chunk amplified; here over a wide picture and 4 chunks."""
    clip = spec(frames=33 * 4, steps=(), height=64, width=128, seed=7)
    assert_equal_to_stock(
        load_stock("distilled"),
        HeliosRenderer(model_directory("distilled", STOCK_GAMMA)),
        clip,
        render,
        guidance_scale=1.0,
        pyramid_num_inference_steps_list=[2, 2, 2],
        is_amplify_first_chunk=True,
    )


@pytest.mark.parametrize(
    ("height", "width", "guidance"), [(64, 64, None), (128, 64, 2.5), (64, 64, 1.0)]
)
def test_base(load_stock, model_directory, spec, render, height, width, guidance):
    clip = spec(frames=33 * CHUNKS, steps=(3,), height=height, width=width, guidance_scale=guidance)
    assert_equal_to_stock(
        load_stock("base"),
        HeliosRenderer(model_directory("base", STOCK_GAMMA)),
        clip,
        render,
        guidance_scale=5.0 if guidance is None else guidance,
        num_inference_steps=3,
    )


def test_mid(load_stock, model_directory, spec, render):
    clip = spec(frames=33 * CHUNKS, steps=(3, 2, 3))
    with load_stock.contiguous("mid") as pipeline:
        assert_equal_to_stock(
            pipeline,
            HeliosRenderer(model_directory("mid", STOCK_GAMMA)),
            clip,
            render,
            guidance_scale=5.0,
            pyramid_num_inference_steps_list=[3, 2, 3],
        )


@pytest.mark.parametrize("variant", ["distilled", "base"])
def test_the_arithmetic_of_a_gpu(model_directory, spec, render, variant):
    """bfloat16 with a float32 VAE, as on a GPU: each conversion falls where the stock's does."""
    directory = model_directory(variant, STOCK_GAMMA)
    model = HeliosModel(directory, torch.device("cpu"), dtype=torch.bfloat16)
    cls = HeliosPipeline if variant == "base" else HeliosPyramidPipeline
    pipeline = cls.from_pretrained(directory, dtype=torch.bfloat16, vae=model.vae)
    pipeline.set_progress_bar_config(disable=True)

    clip = spec(frames=33 * 2, steps=() if variant == "distilled" else (2,))
    options = (
        {"pyramid_num_inference_steps_list": [2, 2, 2], "is_amplify_first_chunk": True}
        if variant == "distilled"
        else {"num_inference_steps": 2}
    )
    chunks = render(SoloClip(model, PromptEncoder(model), clip, None), 2)
    latents = np.concatenate([chunk.negative.latents for chunk in chunks], axis=2)
    guidance = model.info.default_guidance_scale
    stock = stock_run(pipeline, clip, "latent", guidance_scale=guidance, **options)
    assert model.transformer.dtype == torch.bfloat16
    assert torch.equal(torch.from_numpy(latents), stock)


def test_the_real_gamma_renders(renderer, spec, render):
    """The stock code factors a singular matrix there: on most machines it raises, not on all."""
    clip = spec(frames=33 * 2)
    chunks = render(renderer.start(clip), clip.chunks)
    assert all(np.isfinite(chunk.negative.latents).all() for chunk in chunks)
