"""The arithmetic of a frame against the published architecture, and H100s like for like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.domain.clip import Work
from farm.plan.economics import (
    H100,
    HELIOS,
    RTX_4060_TI,
    Basis,
    cards_for,
    h100_equivalents,
    history_tokens,
    like_for_like,
    main_tokens,
    own_baseline,
    seconds_per_frame,
    shape_of,
    steps_of,
    tflop_per_chunk,
    tflop_per_frame,
    tflop_per_pass,
)

DISTILLED = HELIOS["distilled"]
TRAINED = Work(384, 640)
TINY = shape_of("distilled", layers=2, heads=2, head_dim=12, ffn_dim=48)


def test_tokens_at_the_trained_size() -> None:
    assert main_tokens(DISTILLED, TRAINED) == (540, 2160, 8640)
    assert main_tokens(HELIOS["base"], TRAINED) == (8640,)
    assert history_tokens(TRAINED) == 2400


@pytest.mark.parametrize(("main", "tflop"), [(540, 69.7), (2160, 119.1), (8640, 359.6)])
def test_arithmetic_of_a_pass(main: int, tflop: float) -> None:
    assert tflop_per_pass(DISTILLED, main, 2400) == pytest.approx(tflop, rel=0.005)


@pytest.mark.parametrize(
    ("variant", "steps", "tflop"),
    [
        ("distilled", (1, 1, 1), 548),
        ("distilled", (2, 2, 2), 1097),
        ("distilled", (), 1097),
        ("mid", (), 21_900),
        ("base", (), 36_000),
    ],
)
def test_arithmetic_of_a_chunk(variant: str, steps: tuple[int, ...], tflop: float) -> None:
    assert tflop_per_chunk(HELIOS[variant], Work(384, 640, steps)) == pytest.approx(
        tflop, rel=0.005
    )


def test_an_amplified_first_chunk_takes_double() -> None:
    once = tflop_per_chunk(DISTILLED, TRAINED)
    assert tflop_per_chunk(DISTILLED, TRAINED, amplified=True) == pytest.approx(2 * once)


def test_history_that_does_not_divide_evenly_is_padded() -> None:
    # 64x64: 8x8 latents; short 2x4x4, mid 1x2x2, long 4x1x1.
    assert history_tokens(Work(64, 64)) == 32 + 4 + 4


def test_the_published_work_is_compared_with_the_published_rate() -> None:
    found = h100_equivalents(2 * 19.53, Work(384, 640, (1, 1, 1)), DISTILLED)
    assert found.value == pytest.approx(2.0)
    assert found.basis is Basis.PUBLISHED


def test_one_number_of_steps_counts_for_every_stage() -> None:
    assert steps_of(DISTILLED, Work(384, 640, (1,))) == (1, 1, 1)
    assert h100_equivalents(1.0, Work(384, 640, (1,)), DISTILLED).basis is Basis.PUBLISHED


@pytest.mark.parametrize(
    "work", [TRAINED, Work(384, 640, (2, 2, 2)), Work(704, 1280, (1, 1, 1)), Work(128, 128)]
)
def test_any_other_work_is_estimated(work: Work) -> None:
    assert h100_equivalents(1.0, work, DISTILLED).basis is Basis.ESTIMATED


def test_an_estimate_scales_by_arithmetic() -> None:
    twice = like_for_like(H100, DISTILLED, TRAINED)
    assert twice.frames_per_second == pytest.approx(19.53 / 2)
    assert twice.work == Work(384, 640, (2, 2, 2))


def test_another_model_is_never_published() -> None:
    thinner = replace(DISTILLED, layers=39)
    assert h100_equivalents(1.0, H100.work, thinner).basis is Basis.ESTIMATED


def test_a_tiny_model_is_worth_next_to_nothing() -> None:
    share = tflop_per_frame(TINY, Work(128, 128)) / tflop_per_frame(DISTILLED, TRAINED)
    assert share < 1e-6
    assert h100_equivalents(10.0, Work(128, 128), TINY).value < 1e-5


def test_test_cards_are_worth_nothing() -> None:
    assert h100_equivalents(1000.0, TRAINED, None).value == 0.0


def test_seconds_of_the_baseline_add_up_to_equivalents() -> None:
    fast, slow = Work(384, 640, (1, 1, 1)), Work(384, 640, (2, 2, 2))
    added = 10 * seconds_per_frame(fast, DISTILLED) + 4 * seconds_per_frame(slow, DISTILLED)
    parts = h100_equivalents(10, fast, DISTILLED), h100_equivalents(4, slow, DISTILLED)
    assert added == pytest.approx(sum(part.value for part in parts))
    assert seconds_per_frame(fast, None) == 0.0
    assert seconds_per_frame(Work(384, 640, (1, 1)), DISTILLED) == 0.0


def test_a_baseline_can_be_set() -> None:
    ours = replace(H100, frames_per_second=20.89, basis=Basis.MEASURED)
    found = h100_equivalents(20.89, H100.work, DISTILLED, ours)
    assert (found.value, found.basis) == (pytest.approx(1.0), Basis.MEASURED)


def test_step_counts_must_fit_the_stages() -> None:
    with pytest.raises(ValueError, match="one per stage"):
        steps_of(DISTILLED, Work(384, 640, (1, 1)))


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="distilled, mid, base"):
        shape_of("huge", layers=1, heads=1, head_dim=1, ffn_dim=1)


def test_the_price_of_one_h100_buys_sixty_two_cards() -> None:
    cards = cards_for(25_000, 400)
    assert cards == 62
    assert cards * RTX_4060_TI.frames_per_second == 155
    assert round(cards * RTX_4060_TI.frames_per_second / H100.frames_per_second) == 8
    with pytest.raises(ValueError, match="above 0"):
        cards_for(25_000, 0)


def test_an_operators_own_figure_takes_the_place_of_the_published_one() -> None:
    assert own_baseline("h100", 0, ()) == H100
    own = own_baseline("h100", 12.5, (2, 2, 2))
    assert (own.frames_per_second, own.work.steps) == (12.5, (2, 2, 2))
    assert own.basis is Basis.MEASURED
    same = h100_equivalents(25.0, Work(384, 640, (2, 2, 2)), HELIOS["distilled"], own)
    assert (same.value, same.basis) == (2.0, Basis.MEASURED)
