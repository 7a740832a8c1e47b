"""A finished take is measured once; sidecar and report tell the same signals and marks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.chunks import INIT, SEGMENT, ChunkFiles
from node_agent.encode import TakeError, encode_segment
from node_agent.engine import Engine
from node_agent.inputs import Inputs
from node_agent.outbox import Outbox
from node_agent.progress import StallLimits
from node_agent.quality.signals import Thresholds
from node_agent.render.child import ChildOptions
from node_agent.render.messages import Ready
from node_agent.render.renderer import RenderSpec
from node_agent.render.testcard import TestCardRenderer
from node_agent.sidecar import ChunkRecord
from node_agent.take import TakeMaker
from node_agent.upload import ObjectTransfer
from node_agent.workbench import Counters, Workbench

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "sidecar.schema.json").read_text())
ORDER = node_pb.ClipOrder(
    spec=types_pb.ClipSpec(
        prompt="a heron", seed=3, frames=66, width=128, height=64, fps=24,
        quality="standard", mode="text_to_video",
    ),
    project="p", batch_id="b", batch_name="monday", name="shot", version=1, row=2,
)  # fmt: skip


def maker(folder: Path, thresholds: Thresholds) -> TakeMaker:
    engine = Engine(ChildOptions(renderer="testcard"), lambda: None, StallLimits())
    engine.about = Ready(renderer="testcard", model_digest="", stack_id="testcard")
    tools = Workbench(
        card_id="card-0",
        engine=engine,
        outbox=Outbox(),
        transfer=ObjectTransfer(),
        counters=Counters(),
        spool=folder,
        thresholds=thresholds,
    )
    return TakeMaker(("clip", 1), ORDER, Inputs(), tools)


@pytest.fixture
def files(tmp_path: Path) -> ChunkFiles:
    """The segments of a test card's clip of two chunks."""
    spec = ORDER.spec
    clip = TestCardRenderer().start(
        RenderSpec(
            clip_id="clip", prompt=spec.prompt, frames=spec.frames, height=spec.height,
            width=spec.width, seed=spec.seed,
        )
    )  # fmt: skip
    files = ChunkFiles()
    for chunk in range(2):
        frames = clip.step(lambda: False).frames
        segment = encode_segment(frames, start_frame=33 * chunk, fps=spec.fps)
        for kind, content in ((INIT, segment.init), (SEGMENT, segment.media)):
            path = tmp_path / f"{kind}-{chunk}"
            path.write_bytes(content)
            files.keep(chunk, kind, path)
        files.records[chunk] = ChunkRecord(
            chunk=chunk, frames=33, render_seconds=0.5, card_id="card-0", attempt=1
        )
    return files


def test_sidecar_and_report_tell_the_same_signals(tmp_path, files):
    made = maker(tmp_path, Thresholds()).make(files, tmp_path)
    sidecar = json.loads(Path(made.sidecar.path).read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(sidecar)
    assert (sidecar["signals"], sidecar["marks"]) == (made.signals.known, [])
    assert made.signals.seam_flicker == pytest.approx(1, abs=0.25)
    told = node_pb.Signals(**made.signals.known)
    assert {name: getattr(told, name) for name in sidecar["signals"]} == sidecar["signals"]


def test_the_card_marks_by_the_thresholds_that_it_was_given(tmp_path, files):
    strict = Thresholds(seam_flicker=0.5, drift=0.0)
    made = maker(tmp_path, strict).make(files, tmp_path)
    assert made.marks == ("seam_flicker", "drift")
    assert json.loads(Path(made.sidecar.path).read_text())["marks"] == ["seam_flicker", "drift"]


def test_a_take_that_does_not_play_is_not_delivered(tmp_path, files):
    spoilt = bytearray(files.segments[1].read_bytes())
    spoilt[len(spoilt) // 2 : len(spoilt) // 2 + 200] = bytes(200)
    files.segments[1].write_bytes(bytes(spoilt))
    with pytest.raises(TakeError, match=r"take\.mp4"):
        maker(tmp_path, Thresholds()).make(files, tmp_path)
    assert not (tmp_path / "take.json").exists()


def test_the_stack_is_named_with_the_profile_of_the_clip(tmp_path, files):
    take = maker(tmp_path, Thresholds())
    take._tools.engine.about = Ready(
        renderer="helios", model_digest="", stack_id="torch,cpu,exact,x264",
        profiles=("exact", "fast"),
    )  # fmt: skip
    files.records[1] = replace(files.records[1], profile="fast")
    made = take.make(files, tmp_path)
    assert made.stack_id == "torch,cpu,fast,x264"
    assert json.loads(Path(made.sidecar.path).read_bytes())["stack_id"] == made.stack_id
