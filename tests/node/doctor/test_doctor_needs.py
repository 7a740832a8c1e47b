"""What the doctor reckons with is what a render child counts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from node_agent.doctor import needs
from node_agent.models import ModelError
from node_agent.render.helios.group_offload import choose
from node_agent.render.helios.offer import Offer
from node_agent.render.helios.placement import Room, plan_for
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.profiles import PROFILES

GB = 1_000_000_000
PLENTY = Room(vram=0, ram=100 * GB)


@pytest.fixture(scope="module")
def counted():
    """Sizes of the 14B model by profile, from its shape."""
    offer = Offer(
        parts=RandomWeights(),
        device=torch.device("cuda:0"),
        dtype=torch.bfloat16,
        room=lambda: PLENTY,
        capped=False,
        streamed=False,
    )
    return {name: offer.sizes(profile) for name, profile in PROFILES.items()}


def test_sizes_are_the_models(counted) -> None:
    assert {name: counted[name] for name in needs.SIZES} == needs.SIZES
    assert counted["fast-fp8"] == needs.SIZES["fast"]


@pytest.mark.parametrize("name", needs.SIZES)
def test_places_are_those_of_the_slabs(counted, name) -> None:
    for vram in (8 * GB, 12 * GB, 17 * GB, 25 * GB, 85 * GB):
        free = Room(vram=vram - needs.CUDA_BYTES, ram=PLENTY.ram)
        assert needs.placed(name, vram) == plan_for(counted[name], free)
        ram = needs.weights_on_host(name, [vram]) + needs.RAM_RESERVE_BYTES
        assert plan_for(counted[name], Room(free.vram, ram)) == needs.placed(name, vram)


def test_what_is_too_small_is_too_small_for_the_slabs(counted) -> None:
    least = needs.VRAM_MIN - needs.CUDA_BYTES
    for sizes in counted.values():
        assert plan_for(sizes, Room(least, PLENTY.ram)).resident == 0
        with pytest.raises(ModelError):
            plan_for(sizes, Room(least - 1, PLENTY.ram))


def test_the_text_encoder_takes_what_its_loading_asks_for() -> None:
    weights, vram = needs.TEXT_ENCODER_BF16, 8 * GB
    choose("text encoder", weights, Room(vram, needs.HOST_RAM_ENCODER), 0)
    with pytest.raises(ModelError):
        choose("text encoder", weights, Room(vram, needs.HOST_RAM_ENCODER - 1), 0)


def test_the_doctor_does_without_torch() -> None:
    program = "import sys, node_agent.doctor.examine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
