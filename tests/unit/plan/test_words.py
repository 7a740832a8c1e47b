"""Durations read as people say them."""

from __future__ import annotations

import pytest

from farm.plan.words import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (40, "40 seconds"), (89.5, "2 minutes"), (91, "2 minutes"),
     (840, "14 minutes"), (5399, "1 h 30 min"), (12000, "3 h 20 min"), (7 * 86400, "7 days")],
)  # fmt: skip
def test_a_duration_is_rounded_up_and_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
