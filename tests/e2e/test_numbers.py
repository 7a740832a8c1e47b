"""The numbers are true: what a real Prometheus was told, against the files and the events.

A farm of four cards renders for five minutes. Clips are cancelled, a card is lost, the gateway and
the coordinator are killed; then nothing is under way any more, and everything is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.domain.clip import CHUNK_FRAMES
from farm.plan.economics import H100, HELIOS, like_for_like
from tests.conftest import require_program
from tests.fixtures.prometheus import Samples, names_in
from tests.fixtures.season import (
    CARDS,
    ROOT,
    SECONDS_PER_CHUNK,
    TWO_SCRAPES,
    WINDOW_SECONDS,
    WORK,
    Season,
    lived_through,
)
from tests.fixtures.stand_ins.sitecustomize import WATTS

pytestmark = [pytest.mark.e2e, pytest.mark.season, pytest.mark.timeout(900)]

DASHBOARDS = sorted((ROOT / "farm" / "monitoring" / "grafana").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$__range": "5m"}
"""What Grafana would put in, beside its choices: all."""
CHOSEN = ("$rack", "$hostname", "$project")
NEEDS_A_MODEL = ("heliostat_card_passes_total",)
"""Test cards make no denoising passes."""
OF_ITS_WHOLE_LIFE = (
    "frames_rendered", "frames_delivered", "clips_delivered", "chunks_recorded", "waste_frames",
    "video_seconds_delivered", "card_seconds", "energy_joules", "money",
)  # fmt: skip
FASTEST = CARDS * CHUNK_FRAMES / SECONDS_PER_CHUNK
"""Frames a second: test cards are never faster."""


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Season]:
    program = require_program("prometheus")
    with lived_through(program, tmp_path_factory.mktemp("season")) as season:
        yield season


def test_the_rate_of_delivered_frames_is_that_of_the_files(season: Season):
    (samples,) = season.prometheus.samples(
        "heliostat_frames_delivered_total", WINDOW_SECONDS, season.end
    ).values()
    first, last = samples[0][0], samples[-1][0]
    assert last - first >= WINDOW_SECONDS - TWO_SCRAPES
    frames = sum(frames for at, frames in season.delivered if first < at <= last)
    told = season.prometheus.one(
        f"rate(heliostat_frames_delivered_total[{WINDOW_SECONDS}s])", season.end
    )
    print(f"delivered {frames / (last - first):.2f} frames a second by files, {told:.2f} told")
    assert told == pytest.approx(frames / (last - first), rel=0.02)


def test_all_that_was_delivered_was_counted_once(season: Season):
    told = season.prometheus.one("heliostat_frames_delivered_total", season.settled)
    assert told == sum(frames for _, frames in season.delivered)


def test_what_was_rendered_and_not_delivered_is_what_events_tell(season: Season):
    """Chunks of clips that were given up, and what was trimmed from the ends of takes. What was
    cancelled or killed between a chunk's beginning and its record was rendered, or was not: of
    these alone, events tell no more than how many there may be."""
    at, ask = season.settled, season.prometheus.one
    rendered = ask("heliostat_frames_rendered_total", at)
    delivered = ask("heliostat_frames_delivered_total", at)
    wasted = ask("heliostat_waste_frames_total", at)
    trimmed = season.frames_recorded(of_takes=True) - delivered
    given_up, open_chunks = season.frames_recorded(of_takes=False), season.chunks_unrecorded()
    print(
        f"rendered {rendered:.0f}, delivered {delivered:.0f}, wasted {wasted:.0f}; by events "
        f"{given_up} given up, {trimmed:.0f} trimmed, {open_chunks} chunks begun and not recorded"
    )
    assert rendered - delivered == wasted + trimmed
    assert (wasted - given_up) % CHUNK_FRAMES == 0
    assert 0 <= wasted - given_up <= open_chunks * CHUNK_FRAMES
    assert open_chunks <= 3 * CARDS, "of each card what it was at, when it was told to stop"
    assert ask("heliostat_waste_frames", at) == rendered - delivered


def test_h100_equivalents_follow_from_the_baseline_of_the_same_work(season: Season):
    baseline = like_for_like(H100, HELIOS["distilled"], WORK).frames_per_second
    ask, end = season.prometheus.one, season.end
    rendered = ask(f"avg_over_time(heliostat_rendered_frames_per_second[{WINDOW_SECONDS}s])", end)
    told = ask(f"avg_over_time(heliostat_h100_equivalents[{WINDOW_SECONDS}s])", end)
    print(f"{rendered:.1f} frames a second are {told:.4f} H100 of {baseline:.1f} each")
    assert told == pytest.approx(rendered / baseline, rel=0.03)
    published = ask("heliostat_baseline_frames_per_second", end)
    assert published == H100.frames_per_second


def test_a_lost_card_shows_within_two_scrapes(season: Season):
    for expr, lost in (
        (f'heliostat_card_online{{card="{season.lost_card}"}}', lambda value: value == 0),
        ('heliostat_cards{state="offline"}', lambda value: value == 1),
    ):
        seconds = season.end - season.killed_at
        (samples,) = season.prometheus.samples(expr, seconds, season.end).values()
        shown = min(at for at, value in samples if lost(value))
        print(f"{expr}: shown after {shown - season.killed_at:.1f} s")
        assert shown - season.killed_at <= TWO_SCRAPES, expr
        assert not lost(samples[-1][1]), "it came back"


def test_restarts_make_no_spike(season: Season):
    begin, end = season.begin + 60, season.end
    fastest = max(season.prometheus.course("rate(heliostat_frames_rendered_total[1m])", begin, end))
    print(f"at most {fastest:.1f} frames a second, of {FASTEST:.0f} that cards can render")
    assert fastest <= 1.05 * FASTEST
    recorded = season.prometheus.course("heliostat:frames_rendered:rate5m", begin, end)
    assert 0 < max(recorded) <= 1.05 * FASTEST
    cards = season.prometheus.course("rate(heliostat_card_frames_rendered_total[1m])", begin, end)
    assert max(cards) <= 1.1 * FASTEST / CARDS
    for name in OF_ITS_WHOLE_LIFE:
        told = season.prometheus.samples(
            f"heliostat_{name}_total", season.settled - season.begin, season.settled
        )
        assert told, name
        fell = [labels for labels, samples in told.items() if not _grows(samples)]
        assert not fell, f"{name} fell: it must survive every restart: {fell}"


def _grows(samples: Samples) -> bool:
    values = [value for _, value in samples]
    return values == sorted(values)


def test_energy_is_that_of_boards_of_known_power(season: Season):
    watts = season.prometheus.one("sum(rate(heliostat_card_energy_joules_total[1m]))", season.end)
    assert watts == pytest.approx(CARDS * WATTS, rel=0.02)
    assert season.prometheus.one("heliostat_fleet_power_watts", season.end) == CARDS * WATTS


def expressions(path: Path) -> list[tuple[str, str]]:
    """Of a dashboard: title of the panel, and query with everything chosen."""
    board = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            for variable, value in VARIABLES.items():
                expr = expr.replace(variable, value)
            for variable in CHOSEN:
                expr = expr.replace(variable, ".*")
            assert "$" not in expr, expr
            found.append((panel["title"], expr))
    return found


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_has_an_answer(season: Season, path: Path):
    told = season.prometheus.names()
    empty = []
    for title, expr in expressions(path):
        without_total = {name.removesuffix("_total") for name in told}
        unknown = {n for n in names_in(expr) if n not in told and n not in without_total}
        if unknown:
            empty.append(f"{title}: nobody tells {sorted(unknown)}: {expr}")
            continue
        values = season.prometheus.query(expr, season.end).values()
        needed = any(name in expr for name in NEEDS_A_MODEL)
        if not any(value == value for value in values) and not needed:
            empty.append(f"{title}: {list(values)[:3]}: {expr}")
    assert not empty, "\n".join(empty)
