"""Nobody gets more than the caps and limits leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.project import Limit, Project
from farm.plan.caps import UNLIMITED, limit_room, project_room


@pytest.mark.parametrize(
    ("cap", "burst", "others_wait", "room"),
    [
        (None, None, True, UNLIMITED - 3),
        (None, None, False, UNLIMITED - 3),
        (10, None, True, 7),
        (10, None, False, UNLIMITED - 3),
        (10, 20, True, 7),
        (10, 20, False, 17),
        (None, 20, True, 17),
        (2, 3, True, 0),
        (2, 3, False, 0),
    ],
)
def test_a_cap_holds_while_others_wait_and_a_burst_always(
    cap: int | None, burst: int | None, others_wait: bool, room: int
) -> None:
    assert project_room(Project(name="a", cap=cap, burst=burst), 3, others_wait) == room


LIMITS = {name: Limit(name, most) for name, most in (("nuke", 4), ("disk", 2))}


@given(
    st.dictionaries(st.sampled_from(["nuke", "disk", "gone"]), st.integers(0, 9)),
    st.lists(st.sampled_from(["nuke", "disk", "gone"]), unique=True),
)
def test_what_fits_in_every_limit_goes_out_and_no_more(
    used: dict[str, int], names: list[str]
) -> None:
    room = limit_room(used, names, LIMITS)
    over = [used.get(name, 0) + room - LIMITS[name].most for name in names if name in LIMITS]
    assert room >= 0
    if not over:
        assert room == UNLIMITED
    elif room:
        assert max(over) == 0
    else:
        assert max(over) >= 0
