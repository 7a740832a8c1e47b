"""What stays on the card and what travels: as much as fits, evenly spread, refused with numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.models import ModelError
from node_agent.render.helios.slabs.plan import Budget, Plan, Sizes, plan, resident, spread

GB = 10**9
HELIOS = Sizes(fixed=int(0.4 * GB), blocks=(int(0.6 * GB),) * 40, prompt=int(4.2 * GB))
PLENTY = 10**15

sizes = st.builds(
    Sizes,
    fixed=st.integers(0, 50),
    blocks=st.lists(st.integers(1, 100), min_size=1, max_size=12).map(tuple),
    prompt=st.integers(0, 50),
)


@given(sizes, st.integers(0, 1500), st.integers(0, 1500), st.sampled_from([2, 3]), st.booleans())
def test_what_is_planned_fits_and_nothing_larger_would_have(sizes, vram, ram, slots, least):
    budget = Budget(vram=vram, ram=ram, working=7, reserve=5)
    try:
        found = plan(sizes, budget, slots=slots, least=least)
    except ModelError:
        found = None
    fitting = [
        each
        for each in every_plan(sizes, slots)
        if each.vram_bytes + 7 <= vram and (not each.ram_bytes or each.ram_bytes + 5 <= ram)
    ]
    if found is None:
        assert not fitting
        return
    assert found in fitting
    residents = [each.resident for each in fitting]
    assert found.resident == (min(residents) if least else max(residents))


@given(sizes, st.sampled_from([2, 3]))
def test_the_bytes_are_those_of_what_is_where(sizes, slots):
    for each in every_plan(sizes, slots):
        travelling = [sizes.blocks[number] for number in each.streamed]
        staying = sum(sizes.blocks) - sum(travelling) + sizes.fixed
        room_for_visitors = min(slots, len(travelling)) * max(travelling, default=0)
        prompt_on_card = sizes.prompt if each.prompt_resident else 0
        assert each.vram_bytes == staying + room_for_visitors + prompt_on_card
        assert each.bytes_streamed == sum(travelling)
        assert each.ram_bytes == sum(travelling) + sizes.prompt - prompt_on_card


@given(st.integers(1, 60), st.data())
def test_streamed_blocks_are_spread_evenly_across_the_end_of_a_pass(blocks, data):
    """The gaps between them differ by one at most, that from the last to the first included."""
    streamed = data.draw(st.integers(1, blocks))
    numbers = spread(streamed, blocks)
    assert len(set(numbers)) == streamed
    assert numbers == tuple(sorted(numbers))
    assert max(numbers) < blocks
    around = [*numbers, numbers[0] + blocks]
    gaps = [later - earlier for earlier, later in itertools.pairwise(around)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("vram", "ram", "resident_blocks", "prompt_resident"),
    [(80, 40, 40, True), (30, 40, 40, False), (16, 40, 17, False), (6, 40, 0, False)],
)
def test_a_card_is_filled(vram, ram, resident_blocks, prompt_resident):
    budget = Budget(vram=vram * GB, ram=ram * GB, working=4 * GB, reserve=3 * GB)
    found = plan(HELIOS, budget)
    assert (found.resident, found.prompt_resident) == (resident_blocks, prompt_resident)


def test_the_least_leaves_the_card_to_the_clip_as_far_as_the_host_can_take_it():
    budget = Budget(vram=16 * GB, ram=40 * GB, working=4 * GB, reserve=3 * GB)
    assert plan(HELIOS, budget, least=True).resident == 0
    scarce = Budget(vram=16 * GB, ram=25 * GB, working=4 * GB, reserve=3 * GB)
    assert plan(HELIOS, scarce, least=True).resident == 11


def test_too_small_a_card_is_refused_with_numbers():
    budget = Budget(vram=5 * GB, ram=64 * GB, working=4 * GB, reserve=3 * GB)
    with pytest.raises(ModelError) as refusal:
        plan(HELIOS, budget)
    for words in (
        "the transformer (28.6 GB) does not fit",
        "40 of 40 blocks streamed through 2 slots",
        "5.6 GB of GPU memory, 4.0 GB of it to work in; 5.0 GB are there",
        "--vram",
    ):
        assert words in str(refusal.value)


def test_too_small_a_host_is_refused_with_numbers():
    budget = Budget(vram=16 * GB, ram=20 * GB, working=4 * GB, reserve=3 * GB)
    with pytest.raises(ModelError) as refusal:
        plan(HELIOS, budget)
    for words in (
        "the transformer (28.6 GB) does not fit",
        "23 of 40 blocks have no room on the card",
        "21.0 GB of host RAM, 3.0 GB of it for all else; 20.0 GB are there",
        "--ram, --vram",
    ):
        assert words in str(refusal.value)


def test_all_on_the_device_takes_nothing_of_the_host():
    whole = resident(HELIOS)
    assert (whole.vram_bytes, whole.ram_bytes) == (HELIOS.total, 0)


def every_plan(sizes, slots):
    yield resident(sizes)
    for streamed in range(len(sizes.blocks) + 1):
        numbers = spread(streamed, len(sizes.blocks))
        yield Plan(sizes, numbers, min(slots, streamed), prompt_resident=False)
