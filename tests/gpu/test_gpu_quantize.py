"""Lossy profiles on a real GPU: the CPU's numbers, streamed as resident, and close to `exact`."""

import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios import low_bits
from node_agent.render.helios import model as model_module
from node_agent.render.helios.device import check_profile
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.placement import Room
from node_agent.render.helios.quantize import lay_out, write
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.rounding import quantised
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.slabs.plan import RAM_RESERVE_BYTES, SLOTS, WORKING_BYTES, Plan
from node_agent.render.profiles import EXACT, FAST, FAST_FP8
from tests.gpu.compare import frames_psnr_db, latents_of, latents_snr_db

BLOCKS = 6
SMALL = {"num_attention_heads": 4, "text_dim": 32, "ffn_dim": 2048, "num_layers": BLOCKS}
SMALL_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
CLOSE_DB_MIN = 30
"""PSNR of `fast` to `exact` in frames; on a CPU it is some 60 dB for such models."""
PRODUCT_DB_MIN = 35
LOSSY = [FAST, FAST_FP8]


def usable(device, profile):
    """Skip what this card has no arithmetic for."""
    try:
        check_profile(device, profile)
    except ModelError as error:
        pytest.skip(str(error))
    return profile


def load(device, profile, **options):
    return HeliosModel(RandomWeights(SMALL, SMALL_VAE), device, profile=profile, **options)


@pytest.mark.parametrize("numbers", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_a_weight_s_numbers_are_the_cpu_s(device, numbers):
    weights = torch.randn(512, 1000, generator=torch.Generator().manual_seed(1)).bfloat16()
    weights[7] = 0
    here, there = (quantised(weights.to(each).float(), numbers) for each in ("cpu", device))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.view(torch.uint8), other.cpu().view(torch.uint8))


@pytest.mark.parametrize("rows", [3, 17, 5000])
@pytest.mark.parametrize("profile", LOSSY, ids=lambda each: each.name)
def test_products_are_close_to_whole_ones(device, profile, rows):
    usable(device, profile)
    generator = torch.Generator().manual_seed(2)
    given, weights, bias = (
        torch.randn(shape, generator=generator).bfloat16().to(device)
        for shape in ((rows, 512), (256, 512), (256,))
    )
    numbers = torch.int8 if profile == FAST else torch.float8_e4m3fn
    place = low_bits.tensor(
        torch.empty(256, 512, dtype=numbers, device=device),
        torch.empty(256, 1, device=device),
        torch.bfloat16,
    )
    write(place, weights, device)
    found = torch.nn.functional.linear(given, place, bias)
    expected = torch.nn.functional.linear(given.double(), weights.double(), bias.double())
    floor = PRODUCT_DB_MIN if profile == FAST else 25
    assert latents_snr_db(found.double().cpu(), expected.cpu()) > floor


@pytest.mark.parametrize("profile", LOSSY, ids=lambda each: each.name)
def test_clips_are_close_to_exact_ones(device, quick, rendered, profile):
    usable(device, profile)
    spec = quick()
    exact, lossy = (rendered(load(device, each), spec) for each in (EXACT, profile))
    assert latents_snr_db(latents_of(lossy), latents_of(exact)) < float("inf")
    assert frames_psnr_db(lossy, exact) > CLOSE_DB_MIN


@pytest.mark.gpu
@pytest.mark.parametrize("profile", LOSSY, ids=lambda each: each.name)
@pytest.mark.parametrize("pageable", [False, True])
def test_streamed_clips_are_resident_ones(
    card, quick, rendered, monkeypatch, assert_equal_chunks, profile, pageable
):
    usable(card, profile)
    spec = quick()
    whole = rendered(load(card, profile), spec)
    stock = RandomWeights(SMALL).empty_transformer(torch.bfloat16)
    lay_out(stock, profile)
    sizes = Parted.of(stock).sizes
    for streamed in (tuple(range(BLOCKS)), (1, 2, 3, 4), (1, 3)):
        vram = Plan(sizes, streamed, SLOTS, prompt_resident=False).vram_bytes
        free = Room(WORKING_BYTES + vram, RAM_RESERVE_BYTES + sizes.total)
        with monkeypatch.context() as patch:
            patch.setattr(model_module, "room", lambda *_, free=free: free)
            model = load(card, profile, pageable=pageable)
        assert model.placement.resident == BLOCKS - len(streamed)
        assert_equal_chunks(rendered(model, spec), whole)


@pytest.mark.gpu
def test_a_product_does_not_wait_for_the_card(card):
    """Or a stream of weights could not run beside it."""
    place = low_bits.tensor(
        torch.empty(256, 512, dtype=torch.int8, device=card),
        torch.empty(256, 1, device=card),
        torch.bfloat16,
    )
    write(place, torch.randn(256, 512, device=card), card)
    rows = torch.randn(64, 512, device=card, dtype=torch.bfloat16)
    torch.nn.functional.linear(rows, place)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.nn.functional.linear(rows, place)
    finally:
        torch.cuda.set_sync_debug_mode("default")
