"""What a card's bench records say of it, and which say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from farm.domain.clip import Work
from farm.plan.bench_record import BadRecord, calibrations, card_record
from farm.plan.card_time import EAGER_BYTES, Attention, Corrections, Profile, Run, Vae, block_bytes
from farm.plan.economics import HELIOS
from tests.unit.bench_records import DISTILLED, bench_record

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "bench.schema.json").read_text())
FAST = Run(
    profile=Profile.FAST,
    vae=Vae.FLOAT32,
    streamed_bytes=block_bytes(HELIOS["distilled"], Profile.FAST),
)
TRUTH = Corrections(compute=1.2, low_bit=0.9, link=1.6, vae_float32=1.4, vae_bfloat16=0.8)


def changed(path: str, value: Any) -> dict[str, Any]:
    """A record with another value in one place; None takes the field away."""
    record = bench_record(link_rate=13)
    *above, name = path.split(".")
    part: Any = record
    for step in above:
        part = part[int(step) if step.isdigit() else step]
    if value is None:
        del part[name]
    else:
        part[name] = value
    return record


def test_the_records_of_these_tests_are_what_the_schema_says() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(bench_record("h200", FAST, link_rate=50))


def test_a_record_becomes_measurements() -> None:
    found = card_record("x.json", bench_record(run=FAST, truth=TRUTH, lanes=(1, 2), link_rate=9))
    assert (found.card.name, found.link_rate) == ("rtx-4060-ti", 9)
    alone, together = found.measured
    assert (alone.run.lanes, together.run.lanes) == (1, 2)
    assert alone.model == DISTILLED
    assert alone.work == Work(384, 640, (1, 1, 1))
    assert alone.run.profile is Profile.FAST
    assert alone.run.vae is Vae.FLOAT32
    assert alone.run.streamed_bytes == int(FAST.streamed_bytes)
    for each in found.measured:
        assert sum(each.passes) + each.vae_seconds == pytest.approx(each.seconds)
    assert together.passes[0] < alone.passes[0], "two lanes share what they wait for"


def test_records_of_a_card_tell_its_corrections_together() -> None:
    records = [
        card_record("a", bench_record(truth=TRUTH)),
        card_record("b", bench_record(run=FAST, truth=TRUTH)),
        card_record("c", bench_record("h200")),
    ]
    found = calibrations(records)
    assert set(found) == {"rtx-4060-ti", "h200"}
    fit = found["rtx-4060-ti"].fit
    assert not fit.gaps
    for name in ("compute", "low_bit", "vae_float32", "vae_bfloat16", "link"):
        assert getattr(fit.corrections, name) == pytest.approx(getattr(TRUTH, name), rel=0.04)


def test_cards_of_one_name_are_told_apart_by_their_memory() -> None:
    small = card_record("x", changed("card.bytes_vram_total", 8188 * 2**20))
    assert small.card.name == "rtx-4060-ti-8gb"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("card.kind", "cpu", r"card\.kind: cpu: a CPU says nothing of a card"),
        ("card.type", "voodoo2", r"card\.type: voodoo2 \(NVIDIA .*\) is not in the card table"),
        ("card.type", None, r"card\.type: Field required; measure again with this version"),
        ("model.blocks", 4, "4 blocks of width 5120 in 3 stages; the released distilled has 40"),
        ("model.heads", 2, "40 blocks of width 256"),
        ("model.variant", "huge", r"model\.variant: 'huge' is none of distilled, mid, base"),
        ("model.profile", "secret", r"model\.profile: 'secret' is none of exact, fast, fast-fp8"),
        ("model.bytes_streamed_per_pass", None, r"bytes_streamed_per_pass: Field required"),
        ("cases.0.arithmetic", "float32", r"cases\.0\.arithmetic: float32"),
        ("cases.0.vae", "half", r"cases\.0\.vae: 'half' is none of float32, bfloat16, tiny"),
        ("cases.0.vae", "tiny", r"cases\.0\.vae: tiny, of which `decode` has no time"),
        ("cases.0.steps", [1, 1], r"cases\.0\.steps: 2 step counts for a model of 3 stages"),
        ("cases.0.steps", [2, 2, 2], r"\[1, 1, 1\] passes .* takes \[2, 2, 2\]"),
        ("cases.0.seconds_per_chunk.median", 0.1, r"less than the 4\.3\d s of its decode"),
        ("cases.0.seconds_per_chunk.median", 0, r"median: Input should be greater than 0"),
        ("cases", [], r"cases: Tuple should have at least 1 item"),
        ("width", 64, r"64x384 is too small to keep a card busy"),
        ("format_version", 2, r"format_version: 2, and 1 is read here"),
    ],
)
def test_what_cannot_calibrate_a_card_is_refused_with_file_and_field(path, value, said) -> None:
    with pytest.raises(BadRecord, match=said) as refusal:
        card_record("card.json", changed(path, value))
    assert str(refusal.value).startswith("card.json: ")


def test_a_record_tells_which_kernels_its_card_ran() -> None:
    sage = Run(profile=Profile.FAST, attention=Attention.SAGE)
    assert card_record("x", bench_record(run=sage)).measured[0].run == sage
    eager = card_record("x", changed("model.compiled", value=False)).measured[0].run
    assert eager.elementwise_bytes == EAGER_BYTES
    assert card_record("x", changed("cases.0.vae", "bfloat16-tiled")).measured[0].run == Run()


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_record_is_refused(value: Any) -> None:
    with pytest.raises(BadRecord, match=r"card\.json: the record: .*farm-node bench"):
        card_record("card.json", value)
