"""The three orders of a batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farm.domain.batch import Order
from farm.plan.order import place


def ordered(every: int, chunks_left: list[int]) -> list[int]:
    clips = len(chunks_left)
    return sorted(
        range(1, clips + 1),
        key=lambda n: place(Order(every), ordinal=n, clips=clips, chunks_left=chunks_left[n - 1]),
    )


@given(st.lists(st.integers(1, 40), max_size=30))
def test_by_default_the_longest_go_first_and_equal_ones_as_in_the_file(chunks: list[int]) -> None:
    out = ordered(0, chunks)
    assert out == sorted(out, key=lambda n: (-chunks[n - 1], n))


@given(st.lists(st.integers(1, 40), max_size=30))
def test_in_the_order_of_the_file_lengths_do_not_matter(chunks: list[int]) -> None:
    assert ordered(1, chunks) == list(range(1, len(chunks) + 1))


def test_the_first_the_last_and_every_fourth_go_before_the_others() -> None:
    assert ordered(4, [1] * 11) == [1, 11, 5, 9, 2, 3, 4, 6, 7, 8, 10]
    assert ordered(4, [1]) == [1]


@given(st.integers(0, 50), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_every_clip_has_a_place_of_its_own(every: int, chunks: list[int]) -> None:
    places = {
        place(Order(every), ordinal=n, clips=len(chunks), chunks_left=left)
        for n, left in enumerate(chunks, 1)
    }
    assert len(places) == len(chunks)
