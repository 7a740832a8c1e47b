"""The lean forward is the stock forward, on any device, with heads of the real model's size."""

import math

import torch

from node_agent.render.helios.cross_attention import LaneKeys, PromptProjections
from node_agent.render.helios.history import History, Memory
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.transformer import lean
from tests.gpu.compare import latents_snr_db

TEXT_DIM = 64
SMALL = {"num_attention_heads": 2, "text_dim": TEXT_DIM, "ffn_dim": 512, "num_layers": 2}
TOKENS = 20
BFLOAT16_DB_MIN = 40


def velocities(device, dtype):
    """Of the same random latents, history and prompt: the stock forward's, and ours."""
    generator = torch.Generator("cpu").manual_seed(5)

    def random(*shape):
        return torch.randn(*shape, generator=generator).to(device)

    history = History(random(1, 16, 19, 16, 16), random(1, 16, 1, 16, 16), chunks=3)
    memory = Memory.of([history], dtype)
    latents, time = random(1, 16, 9, 16, 16).to(dtype), torch.tensor([700], device=device)
    embeddings = random(1, 512, TEXT_DIM).to(dtype)
    embeddings[:, TOKENS:] = 0
    stock = RandomWeights(SMALL).transformer(dtype, device).eval()
    with torch.inference_mode():
        expected = stock(
            hidden_states=latents,
            timestep=time,
            encoder_hidden_states=embeddings,
            indices_hidden_states=memory.chunk_at,
            **{f"latents_history_{kind}": seen for kind, (seen, _) in memory.history.items()},
            **{f"indices_latents_history_{kind}": at for kind, (_, at) in memory.history.items()},
            return_dict=False,
        )[0]
        ours = lean(stock)
        keys = PromptProjections(ours).keys(embeddings, TOKENS)
        velocity = ours(latents, time, LaneKeys([keys]), memory.history, memory.chunk_at)
    return velocity, expected


def test_in_float32_to_the_last_bit(device):
    velocity, expected = velocities(device, torch.float32)
    assert expected.std() > 0
    assert torch.equal(velocity, expected)


def test_in_bfloat16(device):
    """To the last bit on a CPU; a GPU may choose another kernel for keys of another layout."""
    velocity, expected = velocities(device, torch.bfloat16)
    closeness = latents_snr_db(velocity.float().cpu(), expected.float().cpu())
    assert closeness >= (math.inf if device.type == "cpu" else BFLOAT16_DB_MIN)
