"""A wedge is a grid of values, each cell a clip with a name that says which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.values import BadValue
from farm.domain.wedge import axes_of, cells


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("seed=1..3", {"seed": ("1", "2", "3")}),
        ("steps = 4..8/2; fps=8,9", {"steps": ("4", "6", "8"), "fps": ("8", "9")}),
        ("Image noise=0.1-0.2\nx=4,5.5", {"image_noise": ("0.1-0.2",), "x": ("4", "5.5")}),
        ("x=0.5..2/0.5", {"x": ("0.5", "1", "1.5", "2")}),
        ('{"seed": "1..2", "steps": [[2, 2], 3]}', {"seed": ("1", "2"), "steps": ("2-2", "3")}),
        ('{"prompt": ["a, b", "c"]}', {"prompt": ("a, b", "c")}),
        ("None", None),
    ],
)  # fmt: skip
def test_axes_are_lists_and_ranges(text: str, axes: dict[str, tuple[str, ...]] | None) -> None:
    assert axes_of(text) == axes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed", '"seed" is no axis of a wedge, write seed=1..4; guidance_scale=4,5'),
        ("id=a,b", '"id" can be no axis of a wedge'),
        ("seed=1;Seed=2", '"Seed" is an axis twice'),
        ("seed=1,1", '"seed" has "1" twice'),
        ("seed=1,,2", '"seed" has an empty value'),
        ("seed=4..1", '"4..1" runs downwards, write 1..4'),
        ("seed=1..4/0", '"1..4/0" has a step of 0'),
        ("seed=1..10001", '"1..10001" has 10001 values, keep to 10000'),
        (" ; ", "the wedge is empty"),
        ('{"seed": {}}', 'the values of "seed" are no list'),
        ('{"seed"', '"{"seed"" is no wedge'),
        ('{"seed": []}', '"seed" has no values'),
    ],
)
def test_what_is_no_wedge_is_said(text: str, expected: str) -> None:
    with pytest.raises(BadValue) as bad:
        axes_of(text)
    assert str(bad.value).startswith(expected)


def test_cells_are_labelled_and_the_last_axis_changes_fastest() -> None:
    found = list(cells(axes_of("seed=1,2; guidance_scale=4,5") or {}))
    assert [cell.label for cell in found] == [
        "seed=1 guidance_scale=4",
        "seed=1 guidance_scale=5",
        "seed=2 guidance_scale=4",
        "seed=2 guidance_scale=5",
    ]
    assert found[0].suffix == "seed1-guidance_scale4"


def test_a_grid_that_is_too_large_says_its_size() -> None:
    with pytest.raises(BadValue, match=r"the wedge has 200 x 51 = 10200 cells, keep to 10000"):
        cells(axes_of("seed=1..200; frames=1..51") or {})


@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=6, unique=True))
def test_suffixes_are_short_safe_and_differ_where_values_do(values: list[str]) -> None:
    found = [cell.suffix for cell in cells({"prompt": values, "negative_prompt": values[:1]})]
    assert all(len(suffix) <= 80 and suffix.isascii() for suffix in found)
    assert not set("".join(found)) & set('/\\:*?"<>| ')
