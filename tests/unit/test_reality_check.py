"""docs/reality-check.md is what the arithmetic and the measurements say."""

from __future__ import annotations

import json

from bench.gpu.page import committed
from bench.gpu.results import Results
from tools.reality_check import DOCUMENT, ROOT, page, rate_of_card

RESULTS = ROOT / "bench" / "results"


def test_the_page_is_what_its_tool_writes() -> None:
    assert DOCUMENT.read_text() == page(list(committed()), RESULTS), (
        "run `python tools/reality_check.py`"
    )


def measured(card_type: str, seconds: float) -> Results:
    case = {
        "group": "ours-streamed",
        "case": "one",
        "steps": [1, 1, 1],
        "slow": False,
        "lanes": 1,
        "seconds_per_chunk": {"median": seconds},
    }
    card = {"kind": "cuda", "type": card_type, "name": card_type.upper()}
    return Results({"scale": "full", "card": card, "cases": [case]})


def test_without_a_measurement_of_that_card_all_that_hangs_on_its_rate_is_predicted() -> None:
    others = [("h200.json", measured("h200", 1.0))]
    assert rate_of_card(others).known == "predicted"
    told = page(others, RESULTS)
    assert "| H200: 33.0 FPS, steps [1,1,1], random weights | measured |" in told
    rows = [line for line in told.splitlines() if line.startswith("|") and "1.72 FPS" in line]
    assert rows
    assert all("predicted" in row for row in rows)


def test_a_measurement_of_that_card_takes_the_predictions_place() -> None:
    real = [("rtx-4060-ti.json", measured("rtx-4060-ti", 16.5))]
    rate = rate_of_card(real)
    assert (rate.value, rate.known) == (2.0, "measured")
    told = page(real, RESULTS)
    assert "2.00 FPS with steps [1,1,1] | measured | bench/results/gpu/rtx-4060-ti.json |" in told
    assert "124 FPS of 62 cards" in told


def test_small_models_and_other_steps_are_no_measurement_of_the_card() -> None:
    small = measured("rtx-4060-ti", 1.0)
    small.record["scale"] = "tiny"
    more = measured("rtx-4060-ti", 1.0)
    more.record["cases"][0]["steps"] = [2, 2, 2]
    assert rate_of_card([("a", small), ("b", more)]).known == "predicted"


def test_every_row_has_its_four_cells_and_says_how_it_is_known() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    words = ("measured", "computed", "counted", "published", "predicted", "how it is known")
    assert len(rows) > 20
    for row in rows:
        cells = row.strip("|").split(" | ")
        assert len(cells) == 4, row
        assert any(word in cells[2] for word in words), row


def test_what_it_is_made_of_is_there() -> None:
    for name in ("simulation", "scheduling", "throughput"):
        assert json.loads((RESULTS / f"{name}.json").read_text())["about"]["command"]
