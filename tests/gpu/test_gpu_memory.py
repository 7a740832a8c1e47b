"""The truth about a GPU's memory, as the driver tells it: a cap holds, and nothing stays behind."""

import gc

import pytest
import torch

from node_agent.render.bench.memory import MemoryWatch, vram_used

pytestmark = pytest.mark.gpu

CAP_BYTES = 1 << 30
SLACK_BYTES = 64 << 20
"""What the driver and the libraries keep for themselves: kernels that are loaded on first use."""


@pytest.fixture
def cap(card):
    """Set how many bytes all tensors of this process may take."""
    total = torch.cuda.mem_get_info(card)[1]
    yield lambda size: torch.cuda.set_per_process_memory_fraction(size / total, card)
    torch.cuda.set_per_process_memory_fraction(1.0, card)


def settled(card):
    """Bytes in use once nothing is kept for later."""
    gc.collect()
    torch.cuda.synchronize(card)
    torch.cuda.empty_cache()
    return vram_used(card)


def test_a_clip_stays_under_a_cap_and_gives_everything_back(card, cap, model_on, quick, rendered):
    cap(CAP_BYTES)
    model = model_on(card)
    rendered(model, quick())  # loads kernels, which stay
    level = settled(card)
    beside = level - torch.cuda.memory_reserved(card)
    with MemoryWatch(card) as memory:
        rendered(model, quick(frames=33 * 4, width=128, height=128))
    assert memory.bytes_vram_peak > level
    assert memory.bytes_vram_peak <= beside + CAP_BYTES + SLACK_BYTES
    assert settled(card) <= level + SLACK_BYTES


def test_a_cap_is_one(card, cap, model_on, quick, start):
    """Otherwise the test above would show nothing: 33 frames of 512x512 alone are 52 MB."""
    clip = start(model_on(card), quick(width=512, height=512))
    cap(32 << 20)
    with pytest.raises(torch.OutOfMemoryError):
        clip.step(lambda: False)
    assert clip.next_chunk == 0


def test_twelve_chunks_take_no_more_than_two(card, model_on, quick, start):
    clip, held = start(model_on(card), quick(frames=33 * 12)), []
    while clip.next_chunk < 12:
        clip.step(lambda: False)
        held.append(torch.cuda.memory_allocated(card))
    assert set(held[2:]) == {held[2]}


def test_the_text_encoder_is_gone_once_prompts_are_encoded(card, model_on):
    model = model_on(card)
    with model.text_encoder() as encoder:
        encoder.encode("a fox")  # libraries take their work space, which stays
    before = torch.cuda.memory_allocated(card)
    with model.text_encoder() as encoder:
        embeddings = encoder.encode("a lighthouse")
        assert torch.cuda.memory_allocated(card) > before
    assert torch.cuda.memory_allocated(card) == before
    assert embeddings.device.type == "cpu"
