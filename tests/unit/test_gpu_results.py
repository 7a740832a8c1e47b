"""The figures of a GPU keep the promises of speed, or do not, and the page says which."""

import pytest

from bench.gpu.acceptance import FAIL, OWED, PASS, lines
from bench.gpu.cases import FLAT_CHUNKS, from_json, named, order, picked, to_json
from bench.gpu.page import PAGE, committed, page, section
from bench.gpu.prediction import FIT_ON, MODEL, card_of, fit, predicted, run_of
from bench.gpu.results import OtherPlaceError, Results, baseline_of, frames_per_second, growth
from farm.domain.clip import Work
from farm.plan.card_time import Corrections, pass_times

GB = 10**9
ABOUT = {
    "card": {
        "kind": "cuda",
        "type": "h200",
        "name": "NVIDIA H200",
        "bytes_vram_total": 141 * 2**30,
    },
    "host": {"processor": "A CPU", "bytes_ram_total": 128 * GB},
    "versions": {"torch": "2.11.0"},
    "copy": {"bytes_per_second_to_device_pinned": {"median": 52e9}},
    "slow_link_copies": 4,
}
REALITY = Corrections(compute=1.3, low_bit=1.1, vae_bfloat16=0.9, vae_float32=1.1, link=1.2)
"""How this card differs from what is predicted for it."""
PARTS = {
    "seconds": 1.0,
    "matmul_seconds": 0.5,
    "attention_seconds": 0.2,
    "elementwise_seconds": 0.1,
    "copies_seconds": 0.3,
    "idle_share": 0.15,
    "waiting_share": 0.05,
}


@pytest.fixture
def results():
    """A file of everything there is to measure, on a card that behaves as the card model says."""
    results = Results.new("full")
    results.record["commands"].append("python -m bench.gpu")
    results.measured_on({**ABOUT, "measured_at": "2026-12-01T10:00:00+00:00"})
    for group in order():
        for case in group.cases:
            results.add(measured(results, group, case))
    return results


def measured(results, group, case):
    stays = {"8G": 2, "16G": 12, "half": 20}.get(group.cap, 0) if group.streamed else 40
    record = named(
        group,
        case,
        copies=4 if case.slow else 1,
        vae="float32" if group.subject == "stock" else "bfloat16",
        blocks=40,
        blocks_resident=stays,
        stack_words=["compiled"],
        bytes_streamed_per_pass=(1 - stays / 40) * (12e9 if "fast" in group.subject else 24e9),
        load={"bytes_ram_before": 4 * GB, "bytes_ram_peak": 24 * GB, "bytes_vram_peak": 5 * GB},
        bytes_rss_by_round=[20 * GB] * case.rounds,
        bytes_ram_by_round=[24 * GB] * case.rounds,
        bytes_vram_by_round=[5 * GB + 9 * GB * (not group.cap)] * case.rounds,
    )
    time = predicted(results, record, REALITY)
    passes = pass_times(
        card_of(results), run_of(record), MODEL, Work(384, 640, case.steps), REALITY
    )
    record["stages"] = [
        {"seconds_per_pass": {"median": once.seconds * case.lanes}} for once in passes
    ]
    record["seconds_per_chunk"] = {"median": time.seconds, "count": case.rounds}
    if case.parts:
        record["parts"] = {**PARTS, "vae_seconds": time.vae}
    return record


def verdicts(results, number):
    return [line.verdict for line in lines(results) if line.number == number]


def of(results, group, case):
    [found] = [c for c in results.cases if (c["group"], c["case"]) == (group, case)]
    return found


def test_a_card_that_the_model_describes_is_predicted_by_two_configurations(results):
    corrections, used = fit(results)
    for name in ("compute", "low_bit", "link", "vae_bfloat16", "vae_float32"):
        assert getattr(corrections, name) == pytest.approx(getattr(REALITY, name), rel=0.1)
    assert [each["group"] for each in used] == [group for group, *_ in FIT_ON]
    assert verdicts(results, 4) == [PASS]


def test_a_case_that_is_predicted_wrongly_fails_the_card_model(results):
    of(results, "fast-8G", "1,1,1 x4")["seconds_per_chunk"]["median"] *= 1.3
    [line] = [each for each in lines(results) if each.number == 4]
    assert line.verdict == FAIL
    assert "fast-8G 1,1,1 x4" in line.figures


def test_speed_is_held_against_stock_of_the_same_cap_steps_and_link(results):
    ours = of(results, "fast-8G", "2,2,2 x4")
    ours["seconds_per_chunk"]["median"] = 1.0
    baseline = of(results, "stock-8G", "2,2,2 x1")
    for seconds, verdict in ((4.1, PASS), (3.9, FAIL)):
        baseline["seconds_per_chunk"]["median"] = seconds
        assert verdicts(results, 1)[0] == verdict
    assert baseline_of(results, ours) is baseline
    slow = baseline_of(results, of(results, "fast-8G", "2,2,2 x4, slow link"))
    assert slow["case"] == "2,2,2 x1, slow link"
    resident = baseline_of(results, of(results, "exact-resident", "1,1,1 x1"))
    assert resident["group"] == "stock-resident"


def test_what_has_figures_is_not_measured_again(results):
    del results.record["cases"][2:]
    left = picked(order(), done=results.done)
    assert (left[0].name, left[0].cases[0].name) == ("fast-8G", "2,2,2 x1")
    assert sum(len(group.cases) for group in [*order()]) == 2 + sum(len(g.cases) for g in left)


def test_where_stock_does_not_run_under_the_cap_it_is_taken_without_and_said(results):
    for case in results.record["cases"]:
        if case["group"] == "stock-8G":
            del case["seconds_per_chunk"]
    [line, *_] = lines(results)
    assert "stock does not run within 8 GB" in line.figures


def test_a_rate_counts_the_encoder_where_it_is_the_slower_one(results):
    for case in results.cases:
        if case["group"] == "exact-resident":
            case["seconds_per_chunk"]["median"] = 1.0
            case["encode_seconds_per_chunk"] = {"median": 2.0}
    assert frames_per_second(of(results, "exact-resident", "1,1,1 x1")) == 16.5
    assert verdicts(results, 2)[1] == FAIL


def test_a_lesser_card_cannot_show_what_is_promised_of_an_h100(results):
    results.record["card"] = {**ABOUT["card"], "type": "rtx-4090"}
    assert verdicts(results, 2) == [OWED, OWED]


def test_an_exceeded_cap_too_much_ram_and_growth_fail(results):
    assert verdicts(results, 3) == [PASS, PASS, PASS, PASS]
    of(results, "exact-8G", "2,2,2 x2")["bytes_vram_by_round"][1] = 8 * GB + 1
    of(results, "fast-8G", "2,2,2 x2")["bytes_ram_by_round"][0] = (4 + 28) * GB
    rss = of(results, "fast-8G", "1,1,1 x1")["bytes_rss_by_round"]
    rss[:] = [20 * GB + 24_000_000 * chunk for chunk in range(FLAT_CHUNKS)]
    assert verdicts(results, 3) == [FAIL, FAIL, PASS, FAIL]


def test_growth_of_the_first_rounds_does_not_count(results):
    case = of(results, "fast-8G", "2,2,2 x2")
    case["bytes_rss_by_round"], case["bytes_vram_by_round"] = [1, 10, 9, 10], [5, 7, 9, 8]
    assert growth(case) == 2


def test_streaming_that_computing_covers_must_not_cost(results):
    half = of(results, "exact-half", "2,2,2 x4")
    resident = of(results, "exact-resident", "2,2,2 x4")
    for slower, verdict in ((1.04, PASS), (1.06, FAIL)):
        half["seconds_per_chunk"]["median"] = resident["seconds_per_chunk"]["median"] * slower
        assert verdicts(results, 5) == [verdict]


def test_blocks_that_are_not_compiled_move_more(results):
    eager = predicted(results, of(results, "exact-resident-eager", "1,1,1 x1"))
    compiled = predicted(results, of(results, "exact-resident", "1,1,1 x1"))
    assert eager.elementwise > 4 * compiled.elementwise


def test_a_small_model_keeps_no_promise(results):
    results.record["scale"] = "small"
    assert {line.verdict for line in lines(results)} == {"owed: no GPU"}


def test_a_file_with_little_in_it_owes_the_rest(results):
    del results.record["cases"][1:]
    assert {line.verdict for line in lines(results)} == {OWED}
    assert section("x.json", results)


def test_figures_of_two_cards_do_not_mix(results):
    with pytest.raises(OtherPlaceError, match="name another --out"):
        results.measured_on({**ABOUT, "card": {"name": "NVIDIA L4"}})


def test_a_case_without_figures_does_not_replace_one_that_has_them(results):
    [group, *_] = order()
    before = list(results.record["cases"])
    results.add(named(group, group.cases[0], skipped="no time"))
    assert results.record["cases"] == before
    again = measured(results, group, group.cases[0])
    results.add(again)
    assert results.record["cases"] == [*before[1:], again]


def test_the_page_explains_the_gap_of_every_profiled_case(results):
    text = section("h200.json", results)
    profiled = [case for case in results.cases if "parts" in case]
    assert text.count("above the roofline") == len(profiled) > 5
    assert text.count("\n| matrix products |") == len(profiled)


def test_the_page_says_why_a_case_has_no_figures(results):
    [group, *_] = order()
    results.record["cases"] = [named(group, group.cases[0], failed="out of memory")]
    assert "- stock-8G, 2,2,2 x1: failed: out of memory" in section("h200.json", results)


def test_the_committed_page_is_that_of_the_committed_results():
    assert PAGE.read_text() == page(committed()), "run `python -m bench.gpu --page`"


def test_every_case_is_measured_once_and_travels():
    names = [(group.name, case.name) for group in order() for case in group.cases]
    assert len(set(names)) == len(names)
    assert all(from_json(to_json(group)) == group for group in order())


def test_groups_are_picked_by_name_and_without_what_goes_beyond_the_limits():
    found = picked(order(), ["fast-8G"], rounds_max=2, lanes_max=1)
    assert {group.name for group in found} == {"fast-8G"}
    assert {(case.lanes, case.rounds) for group in found for case in group.cases} == {(1, 2)}
    with pytest.raises(ValueError, match=r"no group fast-9G; there are stock-8G"):
        picked(order(), ["fast-9G"])
