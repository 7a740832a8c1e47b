"""Which profile a clip is rendered with."""

from itertools import permutations

import pytest

from farm.domain.profiles import profile_for
from farm.domain.values import QUALITIES
from node_agent.render.profiles import (
    PROFILES,
    ProfileError,
    choose,
    profile_in,
    stack_for,
    stack_with,
)

ALL = tuple(PROFILES)


@pytest.mark.parametrize(
    ("quality", "offered", "chosen"),
    [
        ("exact", ALL, "exact"),
        ("standard", ALL, "exact"),
        ("standard", ("fast",), "fast"),
        ("draft", ALL, "fast"),
        ("draft", ("exact", "fast-fp8"), "fast-fp8"),
        ("draft", ("exact",), "exact"),
    ],
)
def test_quality_card_and_host_choose(quality, offered, chosen):
    assert choose(quality, offered) == chosen


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("pinned", ["", *ALL])
def test_the_farm_expects_what_nodes_choose(quality, pinned):
    for number in range(1, len(ALL) + 1):
        for offered in permutations(ALL, number):
            expected = profile_for(quality, offered, pinned)
            if expected:
                assert choose(quality, offered, pinned=pinned) == expected
            else:
                with pytest.raises(ProfileError):
                    choose(quality, offered, pinned=pinned)


def test_a_user_may_pin_one():
    assert choose("exact", ALL, pinned="fast") == "fast"
    with pytest.raises(ProfileError, match="pinned to the profile fast; this card renders with"):
        choose("draft", ("exact",), pinned="fast")


def test_exact_is_never_rendered_with_less():
    with pytest.raises(ProfileError, match="quality exact needs the profile exact"):
        choose("exact", ("fast",))


def test_a_clip_goes_on_as_it_was_begun_where_that_can_be():
    assert choose("standard", ALL, begun="fast") == "fast"
    assert choose("standard", ("exact",), begun="fast") == "exact"
    assert choose("exact", ALL, begun="fast") == "exact"


def test_the_stack_id_ends_with_the_profile():
    assert profile_in(stack_with("torch-2,cpu", "fast")) == "fast"
    assert profile_in("testcard-5") == ""


def test_a_childs_stack_id_is_told_for_each_profile():
    ready = f"{stack_with('torch-2,cpu', 'exact')},libx264,crf18"
    assert stack_for(ready, "exact", "fast") == "torch-2,cpu,fast,libx264,crf18"
