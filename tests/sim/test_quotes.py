"""Quotes hold: over the real coordinator, on test cards of unequal pace, behind a queue."""

from __future__ import annotations

from farm.sim.mixes import run_quote

SEEDS = range(20)


def test_quotes_are_within_10_per_cent_of_what_becomes_of_18_in_20_mixes() -> None:
    mixes = [run_quote(seed) for seed in SEEDS]
    errors = {mix.seed: round(mix.error, 3) for mix in mixes}
    assert sum(abs(error) <= 0.1 for error in errors.values()) >= 18, errors
    assert sum(mix.in_range for mix in mixes) >= 16, errors
    for mix in mixes:
        assert mix.quote.card_hours is not None
        assert mix.quote.kilowatt_hours is not None
        assert abs(mix.quote.card_hours.likely / mix.card_hours - 1) < 0.1, mix.seed
        assert abs(mix.quote.kilowatt_hours.likely / mix.kilowatt_hours - 1) < 0.1, mix.seed
