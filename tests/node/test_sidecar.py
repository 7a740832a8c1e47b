"""The sidecar follows its schema, says only what is known, and is the same bytes each time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import jsonschema
import pytest

from node_agent.quality.signals import Signals
from node_agent.render.renderer import Fork, LoraUse, PromptMark
from node_agent.sidecar import (
    ChunkRecord,
    InputRecord,
    OriginRecord,
    Sidecar,
    energy_of,
    sidecar_bytes,
)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "sidecar.schema.json").read_text())
SIGNALS = Signals(
    frame_difference=0.03,
    seam_flicker=1.25,
    seam_flicker_worst=1.25,
    seam_worst_chunk=1,
    black_frames=0,
    black_frames_longest=0,
    frozen_frames=2,
    frozen_frames_longest=1,
    over_saturation=0.01,
    over_saturation_growth=-0.005,
    drift=0.3,
    drift_colour=0.2,
    drift_contrast=-0.1,
    drift_saturation=0.2,
)
ADDED_ON_WRITING = {"format_version", "prompt_sha256"}


def a_sidecar(**changes: object) -> Sidecar:
    return dataclasses.replace(
        Sidecar(
            project="dune sea",
            batch_id="b-1",
            batch_name="monday",
            clip_id="b-1/000001",
            clip_name="sh010",
            version=2,
            row=3,
            columns={"shot": "010", "Künstler": "Žofie"},
            prompt='A heron, "slowly", über den See 🌅',
            negative_prompt="",
            seed=2**63 - 1,
            frames=34,
            width=640,
            height=384,
            fps=24,
            steps=(2, 2, 2),
            quality="standard",
            mode="text_to_video",
            renderer="helios",
            model_digest="ab" * 32,
            stack_id="torch-2.13.0,exact",
            card_id="n1:0",
            attempts=2,
            chunks=(
                ChunkRecord(chunk=0, frames=33, render_seconds=4.25, card_id="n2:0", attempt=1),
                ChunkRecord(chunk=1, frames=1, render_seconds=4.5, card_id="n1:0", attempt=2),
            ),
            take_sha256="cd" * 32,
            take_size_bytes=12345,
            signals=SIGNALS,
            marks=("drift",),
        ),
        **changes,
    )


EVERYTHING = {
    "guidance_scale": 5.0,
    "energy_joules": 812.5,
    "image": InputRecord(name="fox.png", sha256="ef" * 32),
    "video": InputRecord(name="before.mp4"),
    "schedule": (PromptMark(chunk=1, prompt="It wakes.", blend_chunks=1),),
    "loras": (LoraUse(name="film", scale=0.8),),
    "skip_first_chunk": True,
    "amplify_first_chunk": False,
    "image_noise": (0.111, 0.135),
    "video_noise": (0.0, 0.2),
    "fork": Fork(chunk=2, seed=9),
    "origin": OriginRecord(kind="branch", clip_id="b-00001", chunks=2),
    "recipe": {
        "variant": "distilled",
        "quality": "draft",
        "steps": (1, 1, 1),
        "guidance_scale": 1.0,
        "amplify_first_chunk": True,
        "arithmetic": "bfloat16",
        "vae": "bfloat16",
    },
}
"""Values of all fields that a sidecar can be without."""


def check(sidecar: Sidecar) -> dict[str, object]:
    content = json.loads(sidecar_bytes(sidecar))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    return content


def test_it_follows_its_schema_and_carries_every_field():
    content = check(a_sidecar(**EVERYTHING))
    fields = {field.name for field in dataclasses.fields(Sidecar)}
    assert set(content) == fields | ADDED_ON_WRITING == set(SCHEMA["properties"])
    assert content["columns"] == {"shot": "010", "Künstler": "Žofie"}
    assert content["prompt_sha256"] == hashlib.sha256(a_sidecar().prompt.encode()).hexdigest()
    assert content["seed"] == 2**63 - 1
    assert content["signals"] == dataclasses.asdict(SIGNALS)
    assert set(content["signals"]) == set(SCHEMA["properties"]["signals"]["properties"])
    assert content["marks"] == ["drift"]
    assert content["image"] == {"name": "fox.png", "sha256": "ef" * 32}
    assert content["video"] == {"name": "before.mp4"}
    assert content["schedule"] == [{"chunk": 1, "prompt": "It wakes.", "blend_chunks": 1}]
    assert content["image_noise"] == [0.111, 0.135]
    assert content["fork"] == {"chunk": 2, "seed": 9}
    assert content["origin"] == {"kind": "branch", "clip_id": "b-00001", "chunks": 2}


def test_each_chunk_names_the_profile_that_it_was_rendered_with():
    first = a_sidecar().chunks[0]
    chunks = tuple(dataclasses.replace(first, profile=name) for name in ("exact", "fast"))
    assert [each["profile"] for each in check(a_sidecar(chunks=chunks))["chunks"]] == [
        "exact",
        "fast",
    ]


def test_what_is_not_measured_is_absent():
    short = dataclasses.replace(SIGNALS, seam_flicker=None, drift=None)
    content = check(a_sidecar(signals=short, marks=()))
    measured = dataclasses.asdict(SIGNALS).keys() - {"seam_flicker", "drift"}
    assert content["signals"].keys() == measured
    assert content["marks"] == []
    unknown = EVERYTHING.keys() - {"schedule", "loras", "skip_first_chunk"}
    assert not unknown & content.keys()
    assert not {"energy_joules", "profile"} & content["chunks"][0].keys()


def test_a_takes_energy_is_the_sum_where_each_chunk_was_measured():
    first, second = (dataclasses.replace(c, energy_joules=20.25) for c in a_sidecar().chunks)
    assert energy_of([first, second]) == 40.5
    assert energy_of([first, dataclasses.replace(second, energy_joules=None)]) is None


def test_equal_sidecars_are_equal_bytes_whatever_the_order_of_columns():
    one = a_sidecar(columns={"a": "1", "b": "2"})
    other = a_sidecar(columns={"b": "2", "a": "1"})
    assert sidecar_bytes(one) == sidecar_bytes(other)


def test_the_schema_refuses_what_a_reader_would_trip_over():
    content = json.loads(sidecar_bytes(a_sidecar()))
    for wrong in (
        {"fps": 0},
        {"take_sha256": "short"},
        {"surprise": 1},
        {"width": 100},
        {"marks": ["ugly"]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**content, **wrong}, SCHEMA)
    del content["seed"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)
