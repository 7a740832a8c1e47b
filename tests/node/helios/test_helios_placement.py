"""Weights go where they fit; where they fit nowhere, that is said before loading, with numbers."""

import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios.group_offload import Offload, choose
from node_agent.render.helios.placement import (
    Caps,
    Placement,
    Room,
    plan_for,
    room,
    weight_bytes,
)
from node_agent.render.helios.slabs.plan import RAM_RESERVE_BYTES, WORKING_BYTES, Sizes

GB = 10**9
ENCODER = int(11.4 * GB)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("vram", "ram", "expected"),
    [
        (16, 32, Offload.RESIDENT),
        (8, 64, Offload.PINNED),
        (8, 32, Offload.PAGEABLE),
    ],
)
def test_where_the_text_encoder_goes(vram, ram, expected):
    assert choose("text encoder", ENCODER, Room(vram * GB, ram * GB), GB) is expected


@pytest.mark.parametrize(
    ("vram", "ram", "words"),
    [
        (8, 12, ["pageable it needs 15.8 GB of host RAM, 12.0 GB are free"]),
        (2, 64, ["2.1 GB of GPU memory, 2.0 GB are free"]),
        (2, 8, ["GPU memory, 2.0 GB", "host RAM, 8.0 GB"]),
        (16, 8, ["resident it needs 15.8 GB of host RAM, 8.0 GB"]),  # loading passes through it
    ],
)
def test_a_text_encoder_that_fits_nowhere_is_refused_with_numbers(vram, ram, words):
    with pytest.raises(ModelError, match=r"the text encoder \(11\.4 GB\) does not fit") as caught:
        choose("text encoder", ENCODER, Room(vram * GB, ram * GB), GB)
    assert all(word in str(caught.value) for word in words)


def test_the_clip_and_the_system_keep_their_share():
    sizes = Sizes(fixed=GB, blocks=(GB,) * 8, prompt=0)
    assert plan_for(sizes, Room(WORKING_BYTES + 9 * GB, 0)).resident == 8
    half = plan_for(sizes, Room(WORKING_BYTES + 9 * GB - 1, RAM_RESERVE_BYTES + 3 * GB))
    assert half.resident == 5
    with pytest.raises(ModelError, match="host RAM"):
        plan_for(sizes, Room(WORKING_BYTES + 9 * GB - 1, RAM_RESERVE_BYTES + 3 * GB - 1))
    assert plan_for(sizes, Room(80 * GB, 80 * GB), streamed=True).resident == 0


@pytest.mark.parametrize(
    ("resident", "name", "words"),
    [
        (40, "resident", "resident"),
        (12, "partly streamed", "streamed, 12 of 40 blocks stay on the card"),
        (0, "streamed", "streamed, 0 of 40 blocks stay on the card"),
    ],
)
def test_a_placement_in_words(resident, name, words):
    placement = Placement(40, resident, 0)
    assert (placement.name, str(placement)) == (name, words)


def test_weights_are_counted_without_loading_them(model_directory, renderer):
    counted = weight_bytes(model_directory() / "transformer", torch.float32)
    model = renderer._model
    parts = [*model.transformer.parameters(), *model.projections.parameters()]
    assert counted == sum(part.numel() * 4 for part in parts)
    assert weight_bytes(model_directory() / "transformer", torch.bfloat16) == counted // 2


def test_a_file_that_holds_no_weights_is_named(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match=r"broken\.safetensors: not a safetensors file"):
        weight_bytes(tmp_path, torch.float32)


def test_a_cpu_has_no_memory_of_its_own():
    free = room(CPU)
    assert free.vram == 0
    assert free.ram > 0


def test_caps_count_what_this_process_has_already():
    free, capped = room(CPU), room(CPU, Caps(vram=8 * GB, ram=10**15))
    assert capped.vram == 8 * GB
    assert capped.ram <= free.ram + GB  # other programs come and go
    assert room(CPU, Caps(ram=1)).ram == 0
