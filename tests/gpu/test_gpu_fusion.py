"""Compiled blocks on a real GPU: close to those as written, and the same bits each time.

Not run on a GPU yet: the decibels are what bfloat16 itself loses (`test_gpu_equals_stock.py`).
"""

import pytest
import torch
from torch._inductor.utils import fresh_cache

from node_agent.render.helios.attention import CUDNN, NATIVE, best_attention, first_that_works
from node_agent.render.helios.fusion import CompiledBlocks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.random_weights import RandomWeights
from tests.gpu.compare import frames_psnr_db, latents_of, latents_snr_db

pytestmark = pytest.mark.gpu

SMALL = {"num_attention_heads": 4, "text_dim": 32, "ffn_dim": 2048, "num_layers": 4}
SMALL_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
DB_MIN = {torch.float32: 60, torch.bfloat16: 30}


def loaded(card, **options):
    return HeliosModel(RandomWeights(SMALL, SMALL_VAE), card, **options)


@pytest.mark.parametrize("dtype", list(DB_MIN), ids=str)
def test_compiled_by_default_and_close(card, quick, rendered, record_property, dtype):
    compiled, written = loaded(card, dtype=dtype), loaded(card, dtype=dtype, compiled=False)
    assert "compiled" in compiled.stack_words
    ours, theirs = (rendered(model, quick()) for model in (compiled, written))
    assert isinstance(compiled.transformer.run_block, CompiledBlocks)
    assert compiled.transformer.run_block.compiles
    closeness = latents_snr_db(latents_of(ours), latents_of(theirs))
    record_property("latents_snr_db", closeness)
    assert closeness >= DB_MIN[dtype]
    assert frames_psnr_db(ours, theirs) >= DB_MIN[dtype]


def test_streamed_and_compiled_anew_it_gives_the_same_bits(
    card, quick, rendered, assert_equal_chunks
):
    """Neither a slot nor what a compiler measures decides a bit."""
    whole = rendered(loaded(card, compiled=True), quick())
    torch.compiler.reset()
    with fresh_cache():
        streamed = loaded(card, compiled=True, streamed=True)
        assert streamed.placement.resident == 0
        assert_equal_chunks(rendered(streamed, quick()), whole)
        assert streamed.transformer.run_block.compiles


def test_what_is_chosen_for_a_card_attends(card):
    """`native` where a card has nothing better; cuDNN is there wherever torch is new enough."""
    exact = best_attention(card, torch.bfloat16, lossy=False)
    assert exact == first_that_works((exact, NATIVE), card, torch.bfloat16)
    assert best_attention(card, torch.float32, lossy=True) == NATIVE
    if torch.cuda.get_device_capability(card) >= (8, 0):
        assert first_that_works((CUDNN, NATIVE), card, torch.bfloat16) == CUDNN
