"""The article's tables, to the cent, and what they leave out."""

from __future__ import annotations

import pytest

from farm.domain.clip import Work
from farm.plan.card_table import CARDS
from farm.plan.economics import H100, HELIOS, RTX_4060_TI, Basis, tflop_per_chunk
from farm.plan.money.article import (
    CARD_PRICE,
    H100_PRICE,
    aggregate,
    arithmetic_table,
    cards_bought,
    chunks_of_seconds,
    claims_table,
    electricity_of,
    nodes_bought,
    tier_years,
    weekly_year,
)
from farm.plan.money.compression import (
    CLAIMED_COMPRESSION,
    CLAIMED_PARAMETERS,
    claimed_factors,
    saving,
    stages_of,
    tflop_uncompressed,
    whole_history_tokens,
)
from farm.plan.money.payback import TIERS, break_even, duration_tax_rate
from farm.plan.tariff import Tariff

DISTILLED, TRAINED = HELIOS["distilled"], H100.work


def cents(value: float) -> str:
    return f"{value:.2f}"


def test_62_cards_make_155_fps_which_is_8_times_one_h100() -> None:
    assert H100_PRICE / CARD_PRICE == 62.5
    assert cards_bought() == 62
    assert aggregate(cards_bought()) == 155.0
    assert round(155.0 / 19.5) == 8
    assert f"{155.0 / 19.5:.1f}" == f"{155.0 / H100.frames_per_second:.1f}" == "7.9"


def test_the_tiers_save_what_the_article_says() -> None:
    assert [tier.monthly for tier in TIERS] == [50, 200, 1000]
    years = tier_years()
    assert [cents(year.cloud) for year in years] == ["2400.00", "9600.00", "48000.00"]
    assert [cents(year.own) for year in years] == ["6.00", "24.00", "120.00"]
    assert [cents(year.saved) for year in years] == ["2394.00", "9576.00", "47880.00"]


def test_ten_clips_a_week_save_2594_dollars_80() -> None:
    year = weekly_year()
    assert year.clips == 520
    assert (cents(year.cloud), cents(year.own)) == ("2600.00", "5.20")
    assert cents(year.saved) == "2594.80"


def test_a_card_is_paid_after_200_to_300_generations() -> None:
    assert break_even(400, 2) == 200
    assert 200 < break_even(400, 2, 0.01) < 300
    assert break_even(400, 4) == 100  # at its own average
    assert break_even(400 + 200, 2) == 300  # with 200 for a host


def test_the_duration_tax_rates_of_the_tiers() -> None:
    rates = [duration_tax_rate(4.0, tier.monthly, CARD_PRICE) for tier in TIERS]
    assert rates == pytest.approx([0.5, 2.0, 10.0])


def test_with_hosts_counted_in_there_are_half_as_many_cards() -> None:
    assert nodes_bought(350) == 33
    assert nodes_bought(350, h100_host=True) == 33
    assert aggregate(33) == 82.5
    assert f"{82.5 / 19.53:.1f}" == "4.2"


def test_time_is_linear_in_frames_and_memory_is_not_the_point() -> None:
    assert (chunks_of_seconds(5), chunks_of_seconds(60)) == (4, 44)
    five, minute = (
        electricity_of(seconds, RTX_4060_TI.frames_per_second, CARDS["rtx-4060-ti"].watts, 0.17)
        for seconds in (5, 60)
    )
    assert minute == pytest.approx(11 * five)
    assert five < 0.01  # the article's cent is generous for 5 s, with the board alone


def test_the_stock_modes_host_memory_is_told_beside_the_vram() -> None:
    row = claims_table(Tariff()).row("ram")
    assert row is not None
    assert "80 to 85 GB" in row.note
    assert row.cells["corrected"].value == 85
    assert row.cells["ours"].value < 40


def test_each_claim_stands_beside_its_sum_and_says_whose_it_is() -> None:
    table = claims_table(Tariff())
    for row in table.rows:
        told, again = row.cells.get("told"), row.cells.get("again")
        if told is not None and again is not None:
            assert round(again.value) == round(told.value), row.key
            assert told.basis is again.basis is Basis.PUBLISHED
        if "corrected" in row.cells:
            assert row.cells["corrected"].source, row.key


def test_18_32_is_two_savings_of_different_tokens_multiplied() -> None:
    remembered, denoised = claimed_factors(TRAINED, DISTILLED)
    assert remembered == 8.0
    assert round(denoised, 2) == 2.29
    assert round(remembered * round(denoised, 2), 2) == CLAIMED_COMPRESSION
    assert pytest.approx(CLAIMED_PARAMETERS, rel=1e-3) == 14e9 / CLAIMED_COMPRESSION


def test_of_the_arithmetic_6_7_times_is_saved() -> None:
    assert whole_history_tokens(TRAINED) == 19_200
    whole = tflop_uncompressed(DISTILLED, TRAINED)
    assert saving(DISTILLED, TRAINED) == pytest.approx(whole / tflop_per_chunk(DISTILLED, TRAINED))
    assert f"{saving(DISTILLED, TRAINED):.1f}" == "6.7"
    assert saving(DISTILLED, Work(384, 640, (2, 2, 2))) == pytest.approx(saving(DISTILLED, TRAINED))


def test_stages_add_up_to_the_chunk() -> None:
    stages = stages_of(DISTILLED, TRAINED)
    assert [stage.main for stage in stages] == [540, 2160, 8640]
    assert sum(stage.tflop for stage in stages) == pytest.approx(
        tflop_per_chunk(DISTILLED, TRAINED)
    )
    kept = tflop_uncompressed(DISTILLED, TRAINED, pyramid=True, memory=True)
    assert kept == pytest.approx(tflop_per_chunk(DISTILLED, TRAINED))


def test_the_table_of_arithmetic_tells_each_stage_and_what_would_be_without() -> None:
    table = arithmetic_table()
    chunk, neither = table.cell("chunk", "chunk"), table.cell("neither", "times")
    assert chunk is not None
    assert neither is not None
    assert chunk.value == pytest.approx(548, rel=0.005)
    assert f"{neither.value:.1f}" == "6.7"
    assert any("18.32" in note for note in table.notes)
