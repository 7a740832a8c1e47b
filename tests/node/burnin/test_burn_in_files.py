"""What a burn-in keeps: a reference that fits what it is compared with, a record that goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node_agent.burnin import golden
from node_agent.burnin.errors import GoldenError, RecordError
from node_agent.burnin.judge import ChunkOutcome, Limits, Tally, judge
from node_agent.burnin.record import SECONDS_BETWEEN_WRITES, About, Recorder, resume
from node_agent.telemetry import Sample

ORIGIN = golden.Origin(model_digest="m", stack_id="torch-1,card,exact", size="8x8")
ABOUT = About(
    card="GPU-a", name="a card", hostname="host", origin=ORIGIN, limits=Limits(), hours=2.0
)
FRAMES = np.arange(33 * 8 * 8 * 3, dtype=np.int64).astype(np.uint8).reshape(33, 8, 8, 3)


class TestReference:
    def test_comes_back_as_it_was_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / golden.file_name(ORIGIN)
        assert path.name == "golden-exact.safetensors"
        assert golden.load(path, ORIGIN) is None
        golden.save(path, golden.Reference(FRAMES, ORIGIN))
        found = golden.load(path, replace(ORIGIN, stack_id="torch-2,another card,exact"))
        assert found is not None
        assert found.origin == ORIGIN
        assert golden.psnr_db(found.frames, FRAMES) is None

    @pytest.mark.parametrize(
        ("other", "word"),
        [
            ({"model_digest": "n"}, "another model"),
            ({"size": "16x8"}, "another size"),
            ({"prompt": "p"}, "another prompt"),
            ({"seed": "1"}, "another seed"),
            ({"stack_id": "torch-1,card,int8"}, "another profile"),
        ],
    )
    def test_of_something_else_is_refused(self, tmp_path: Path, other: dict, word: str) -> None:
        golden.save(tmp_path / "g", golden.Reference(FRAMES, ORIGIN))
        with pytest.raises(GoldenError, match=word):
            golden.load(tmp_path / "g", replace(ORIGIN, **other))

    def test_that_is_no_reference_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "g").write_bytes(b"not a tensor in sight")
        with pytest.raises(GoldenError, match="make it again with --make-reference"):
            golden.load(tmp_path / "g", ORIGIN)

    def test_psnr_is_what_the_formula_says(self) -> None:
        other = FRAMES.copy()
        other[5, 3, 2, 1] ^= 128
        expected = 10 * np.log10(255**2 / (128**2 / FRAMES.size))
        assert golden.psnr_db(other, FRAMES) == pytest.approx(expected)
        assert golden.psnr_db(FRAMES[:, :4], FRAMES) == 0.0


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def some_tally() -> Tally:
    tally = Tally(seconds=3600.0)
    for _ in range(9):
        tally.add_chunk(ChunkOutcome(seconds=30.0, same_stack=True, psnr_db=None))
        tally.add_sample(Sample(temperature_celsius=70.0, xid_errors=0), 20.0)
    return tally


class TestRecord:
    def test_it_is_written_now_and_then_so_that_a_kill_loses_little(self, tmp_path: Path) -> None:
        path, clock, tally = tmp_path / "r" / "card.json", Clock(), some_tally()
        recorder = Recorder(path, ABOUT, clock)
        recorder.note(tally, judge(tally, ABOUT.limits))
        assert json.loads(path.read_text())["tally"]["chunks"] == 9
        tally.chunks = 10
        recorder.note(tally, ())
        assert json.loads(path.read_text())["tally"]["chunks"] == 9
        clock.seconds += SECONDS_BETWEEN_WRITES
        recorder.note(tally, ())
        record = json.loads(path.read_text())
        assert record["tally"]["chunks"] == 10
        assert record["passed"] is None
        assert record["card"] == "GPU-a"
        assert record["limits"]["temperature_celsius_max"] == 88.0

    def test_what_was_seen_comes_back_whole(self, tmp_path: Path) -> None:
        path, tally = tmp_path / "card.json", some_tally()
        assert resume(path, ABOUT) == Tally()
        Recorder(path, ABOUT, Clock()).write(tally, judge(tally, ABOUT.limits))
        assert resume(path, ABOUT) == tally

    def test_errors_seen_before_the_kill_still_count(self, tmp_path: Path) -> None:
        path, tally = tmp_path / "card.json", some_tally()
        tally.xid_errors = 3
        Recorder(path, ABOUT, Clock()).write(tally, ())
        again = resume(path, ABOUT)
        again.add_sample(Sample(xid_errors=1), 1.0)
        assert again.xid_errors == 4

    def test_of_something_else_or_of_a_failure_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "card.json"
        Recorder(path, ABOUT, Clock()).write(some_tally(), ())
        with pytest.raises(RecordError, match="another card"):
            resume(path, replace(ABOUT, card="GPU-b"))
        with pytest.raises(RecordError, match="another card, model, stack or size"):
            resume(path, replace(ABOUT, origin=replace(ORIGIN, model_digest="n")))
        failed = Tally(failure="CUDA error", seconds=9e9)
        Recorder(path, ABOUT, Clock()).write(failed, judge(failed, ABOUT.limits))
        assert json.loads(path.read_text())["passed"] is False
        with pytest.raises(RecordError, match="failed"):
            resume(path, ABOUT)
        path.write_text("{}")
        with pytest.raises(RecordError, match="not a burn-in's record"):
            resume(path, ABOUT)

    def test_a_card_has_passed_when_its_hours_are_over(self, tmp_path: Path) -> None:
        tally = some_tally()
        tally.seconds = 2 * 3600
        recorder = Recorder(tmp_path / "card.json", ABOUT, Clock())
        recorder.write(tally, judge(tally, ABOUT.limits))
        assert json.loads((tmp_path / "card.json").read_text())["passed"] is True
