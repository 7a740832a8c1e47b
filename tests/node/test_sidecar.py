"""The sidecar follows its schema, says only what is known, and is the same bytes each time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import jsonschema
import pytest

from node_agent.render.renderer import LoraUse, PromptMark
from node_agent.sidecar import ChunkRecord, InputRecord, Sidecar, energy_of, sidecar_bytes

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "sidecar.schema.json").read_text())
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
    assert content["image"] == {"name": "fox.png", "sha256": "ef" * 32}
    assert content["video"] == {"name": "before.mp4"}
    assert content["schedule"] == [{"chunk": 1, "prompt": "It wakes.", "blend_chunks": 1}]
    assert content["image_noise"] == [0.111, 0.135]


def test_what_is_not_measured_is_absent():
    content = check(a_sidecar())
    unknown = EVERYTHING.keys() - {"schedule", "loras", "skip_first_chunk"}
    assert not unknown & content.keys()
    assert "energy_joules" not in content["chunks"][0]


def test_chunks_tell_of_their_energy_lanes_and_steering():
    marks = (PromptMark(chunk=1, prompt="It wakes.", blend_chunks=3),)
    first, second = a_sidecar().chunks
    second = dataclasses.replace(second, energy_joules=40.5, lanes=4, steered=marks)
    content = check(a_sidecar(chunks=(first, second)))
    assert [chunk.get("energy_joules") for chunk in content["chunks"]] == [None, 40.5]
    assert [chunk["lanes"] for chunk in content["chunks"]] == [1, 4]
    assert content["chunks"][1]["steered"] == [
        {"chunk": 1, "prompt": "It wakes.", "blend_chunks": 3}
    ]


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
    for wrong in ({"fps": 0}, {"take_sha256": "short"}, {"surprise": 1}, {"width": 100}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**content, **wrong}, SCHEMA)
    del content["seed"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)
