"""Random weights stand for a loaded model: same shapes, same types, the same loop."""

import numpy as np
import torch
from diffusers import HeliosTransformer3DModel

from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.renderer import SoloClip
from tests.node.helios.small import SMALL, SMALL_VAE

TINY = {**SMALL, "num_layers": 2}
CPU = torch.device("cpu")


def shapes(module):
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors}


def test_they_have_the_types_of_a_loaded_model(model_directory):
    """Also in float32 what the model keeps so: its time embedder, norms and modulation tables."""
    loaded = HeliosTransformer3DModel.from_pretrained(
        model_directory(), subfolder="transformer", dtype=torch.bfloat16
    )
    made = RandomWeights(TINY).transformer(torch.bfloat16, CPU)
    assert shapes(made) == shapes(loaded)
    assert {dtype for _, dtype in shapes(made).values()} == {torch.bfloat16, torch.float32}


def test_their_bytes_are_counted_without_making_them():
    parts = RandomWeights(TINY)
    made = parts.transformer(torch.bfloat16, CPU)
    counted = sum(weights.nbytes for weights in made.parameters())
    assert parts.transformer_bytes(torch.bfloat16) == counted


def test_the_real_model_has_14_billion_of_them():
    assert RandomWeights().transformer_bytes(torch.float32) == 4 * 14_312_427_584


def test_a_clip_renders_from_them_and_always_the_same_one(spec, render):
    models = [HeliosModel(RandomWeights(TINY, SMALL_VAE), CPU) for _ in range(2)]
    one, other = (
        render(SoloClip(model, PromptEncoder(model), spec(frames=66), None), 2) for model in models
    )
    for ours, again in zip(one, other, strict=True):
        assert ours.negative.latents.std() > 0.1
        assert np.array_equal(ours.negative.latents, again.negative.latents)
        assert np.array_equal(ours.frames, again.frames)
