"""What takes' pixels tell becomes metrics: once for each take, and only what was measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.simulated_card import SimulatedCard, outcomes


async def reported_take(rig: Rig, **quality: Any) -> SimulatedCard:
    """A card whose take is in the store, and in its outbox the report of it."""
    await rig.batches.Submit(submission([{"id": "s", "prompt": "a fox", "frames": "33"}]))
    card = SimulatedCard(rig)
    await card.exchange()
    (key,) = card.held
    await card.render_chunk(key, 0)
    files = {"take": b"the take", "sidecar": b"{}"}
    await card.upload(key, files)
    card.report_take(key, 33, files, **quality)
    return card


async def metrics(rig: Rig) -> dict[str, float]:
    """Series → value."""
    _, page = await rig.get("/metrics")
    lines = (line for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_a_takes_signals_and_marks_are_counted_once(stored_rig: Rig) -> None:
    signals = node_pb.Signals(
        seam_flicker=1.5, black_frames=4, frozen_frames=9, over_saturation=0.125, drift=0.25
    )
    marks = ["drift", "seam_flicker", "of its own making"]
    card = await reported_take(stored_rig, signals=signals, marks=marks)
    request = card.request()
    for _ in range(2):
        response = node_pb.ExchangeResponse.FromString(await stored_rig.gateway.exchange(request))
        assert outcomes(response) == ["RECORDED"]
    seen = await metrics(stored_rig)
    take = {name: value for name, value in seen.items() if "_take" in name}
    assert (
        take.items()
        >= {
            "heliostat_take_seam_flicker_ratio_count": 1,
            "heliostat_take_seam_flicker_ratio_sum": 1.5,
            "heliostat_take_over_saturation_ratio_sum": 0.125,
            "heliostat_take_drift_ratio_sum": 0.25,
            "heliostat_take_black_frames_total": 4,
            "heliostat_take_frozen_frames_total": 9,
        }.items()
    )
    assert {name: value for name, value in take.items() if "takes_marked" in name} == {
        'heliostat_takes_marked_total{signal="seam_flicker"}': 1,
        'heliostat_takes_marked_total{signal="black"}': 0,
        'heliostat_takes_marked_total{signal="frozen"}': 0,
        'heliostat_takes_marked_total{signal="over_saturation"}': 0,
        'heliostat_takes_marked_total{signal="drift"}': 1,
    }


@pytest.mark.parametrize(
    ("quality", "measured"),
    [({}, 0), ({"signals": node_pb.Signals(seam_flicker=math.nan, drift=math.inf)}, 1)],
)
async def test_what_was_not_measured_is_not_observed(
    stored_rig: Rig, quality: dict[str, Any], measured: int
) -> None:
    card = await reported_take(stored_rig, **quality)
    assert outcomes(await card.exchange()) == ["RECORDED"]
    seen = await metrics(stored_rig)
    assert {name: value for name, value in seen.items() if name.endswith("_ratio_count")} == {
        "heliostat_take_seam_flicker_ratio_count": 0,
        "heliostat_take_drift_ratio_count": 0,
        "heliostat_take_over_saturation_ratio_count": measured,
    }
