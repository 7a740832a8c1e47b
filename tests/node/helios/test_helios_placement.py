"""Weights go where they fit; where they fit nowhere, that is said before loading, with numbers."""

import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios.placement import Placement, Room, choose, room, weight_bytes

GB = 10**9
TRANSFORMER = int(28.6 * GB)


@pytest.mark.parametrize(
    ("vram", "ram", "expected"),
    [
        (80, 128, Placement.RESIDENT),
        (34, 40, Placement.RESIDENT),
        (16, 128, Placement.PINNED),
        (16, 64, Placement.PAGEABLE),
        (8, 40, Placement.PAGEABLE),
    ],
)
def test_where_weights_go(vram, ram, expected):
    assert choose("transformer", TRANSFORMER, Room(vram * GB, ram * GB)) is expected


@pytest.mark.parametrize(
    ("vram", "ram", "words"),
    [
        (16, 32, ["34.7 GB of host RAM, 32.0 GB are free"]),
        (4, 64, ["5.4 GB of GPU memory, 4.0 GB are free"]),
        (4, 16, ["GPU memory, 4.0 GB", "host RAM, 16.0 GB"]),
        (34, 16, ["resident it needs 34.7 GB of host RAM, 16.0 GB"]),  # loading passes through it
    ],
)
def test_what_fits_nowhere_is_refused_with_numbers(vram, ram, words):
    with pytest.raises(ModelError, match=r"the transformer \(28\.6 GB\) does not fit") as caught:
        choose("transformer", TRANSFORMER, Room(vram * GB, ram * GB))
    assert all(word in str(caught.value) for word in words)


def test_what_is_made_on_the_card_needs_no_host():
    free = Room(34 * GB, 0)
    assert choose("transformer", TRANSFORMER, free, made_there=True) is Placement.RESIDENT


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
    free = room(torch.device("cpu"))
    assert free.vram == 0
    assert free.ram > 0


def test_streamed_weights_leave_the_cards_memory_to_the_clip() -> None:
    assert choose("transformer", TRANSFORMER, Room(80 * GB, 200 * GB)) is Placement.RESIDENT
    for ram, expected in ((200, Placement.PINNED), (40, Placement.PAGEABLE)):
        free = Room(80 * GB, ram * GB)
        assert choose("transformer", TRANSFORMER, free, streamed=True) is expected
