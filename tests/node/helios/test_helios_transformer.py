"""The lean forward gives the stock forward's bits, with two rows of modulation and cached keys."""

import pytest
import torch
from diffusers import HeliosTransformer3DModel

from node_agent.render.helios.cross_attention import LaneKeys, PromptProjections
from node_agent.render.helios.history import History, Memory
from node_agent.render.helios.transformer import lean

TOKENS = 20


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def pair(request, model_directory):
    """The same weights: stock, and ours with its projections."""

    def load():
        model = HeliosTransformer3DModel.from_pretrained(
            model_directory(), subfolder="transformer", dtype=request.param
        )
        return model.eval().requires_grad_(False)

    ours = lean(load())
    return load(), ours, PromptProjections(ours)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def history_of(height, width, seed=1):
    frames = numbers(1, 16, 19, height, width, seed=seed)
    return History(frames, numbers(1, 16, 1, height, width, seed=seed + 1), chunks=3)


def stock_velocity(stock, latents, time, embeddings, memory):
    places = {f"indices_latents_history_{kind}": at for kind, (_, at) in memory.history.items()}
    frames = {f"latents_history_{kind}": each for kind, (each, _) in memory.history.items()}
    return stock(
        hidden_states=latents,
        timestep=time,
        encoder_hidden_states=embeddings,
        indices_hidden_states=memory.chunk_at,
        return_dict=False,
        **places,
        **frames,
    )[0]


def prompt(dtype, seed=5):
    embeddings = torch.zeros(1, 512, 32, dtype=dtype)
    embeddings[0, :TOKENS] = numbers(TOKENS, 32, seed=seed).to(dtype)
    return embeddings


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (16, 8), (12, 20)], ids=str)
@pytest.mark.parametrize("time", [999, 743, 1])
def test_velocity_is_equal_to_the_last_bit(pair, size, time):
    stock, ours, projections = pair
    latents = numbers(1, 16, 9, *size).to(stock.dtype)
    memory = Memory.of([history_of(*(max(side, 8) for side in size))], stock.dtype)
    when, embeddings = torch.tensor([time]), prompt(stock.dtype)
    with torch.inference_mode():
        expected = stock_velocity(stock, latents, when, embeddings, memory)
        keys = LaneKeys([projections.keys(embeddings, TOKENS)])
        velocity = ours(latents, when, keys, memory.history, memory.chunk_at)
    assert torch.equal(velocity, expected)


def test_a_lane_hardly_feels_its_neighbours(pair):
    _, ours, projections = pair
    latents = [numbers(1, 16, 9, 8, 8, seed=n).to(ours.dtype) for n in range(3)]
    histories = [history_of(8, 8, seed=10 + n) for n in range(3)]
    keys = [projections.keys(prompt(ours.dtype, seed=n), TOKENS) for n in range(3)]
    time = torch.tensor([700])
    together = Memory.of(histories, ours.dtype)
    with torch.inference_mode():
        all_three = ours(
            torch.cat(latents), time.expand(3), LaneKeys(keys), together.history, together.chunk_at
        )
        for lane in range(3):
            memory = Memory.of([histories[lane]], ours.dtype)
            alone = ours(
                latents[lane], time, LaneKeys([keys[lane]]), memory.history, memory.chunk_at
            )
            difference = (all_three[lane] - alone[0]).abs().max()
            assert difference < (1e-5 if ours.dtype == torch.float32 else 0.05)


def test_a_prompt_keeps_one_row_of_all_its_padding(pair):
    _, ours, projections = pair
    keys = projections.keys(prompt(ours.dtype), TOKENS)
    assert keys.padding == 512 - TOKENS - 1
    for block in range(2):
        for rows, whole in zip(keys.blocks[block], keys.whole(block), strict=True):
            assert rows.shape[1] == TOKENS + 1
            assert whole.shape == (1, 512, 2, 12)
            assert rows.untyped_storage().nbytes() == rows.numel() * rows.element_size()


def test_the_prompts_weights_have_left_the_blocks(pair):
    stock, ours, projections = pair

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(ours) + count(projections) == count(stock)
    assert not hasattr(ours.blocks[0].attn2, "to_k")


def test_a_transformer_that_is_built_otherwise_is_refused(model_directory):
    config = HeliosTransformer3DModel.load_config(model_directory(), subfolder="transformer")
    other = HeliosTransformer3DModel.from_config(dict(config) | {"zero_history_timestep": False})
    with pytest.raises(ValueError, match="zero_history_timestep is False; Helios has True"):
        lean(other)
