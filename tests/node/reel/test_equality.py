"""What is equal to what: a clip that grew, branched or was decoded again, against one made at once.

Every film here comes from a render child of its own, so each also goes on where another process
left off.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from node_agent.files import sha256_of_file
from node_agent.film import pictures
from node_agent.reel.reel import Reel, reel_of
from node_agent.render.renderer import CHUNK_FRAMES
from tests.node.reel.conftest import PROMPT, Studio, farm_node, files

NIGHT = "Night falls over the snow."


def frames_of(film: Path) -> np.ndarray:
    return np.stack(list(pictures(film)))


@pytest.fixture(scope="module")
def rendered(studio: Studio) -> np.ndarray:
    """The frames of the 90-frame clip as this process renders them, before any encoding."""
    from node_agent.render.helios.renderer import HeliosRenderer
    from node_agent.render.renderer import RenderSpec

    spec = RenderSpec(
        clip_id="c", prompt=PROMPT, frames=90, height=64, width=64, seed=0, steps=(1, 1, 1)
    )
    renderer = HeliosRenderer(studio.model, threads=1)
    clip = renderer.start(spec)
    chunks = [renderer.step([clip], lambda _clip: False)[0].wait() for _ in range(spec.chunks)]
    return np.concatenate([chunk.frames for chunk in chunks])[:90]


def test_a_trimmed_clip_extended_is_the_clip_asked_for_at_that_length(longer, whole):
    assert files(longer, "negative") == files(whole, "negative")
    assert files(longer, "segment") == files(whole, "segment")
    assert longer.read_bytes() == whole.read_bytes()


def test_the_joint_is_no_rougher_than_the_other_chunk_boundaries(longer, whole):
    def steps(film: Path) -> list[float]:
        frames = frames_of(film).astype(int)
        starts = range(CHUNK_FRAMES, len(frames), CHUNK_FRAMES)
        return [float(np.abs(frames[at] - frames[at - 1]).mean()) for at in starts]

    joint = steps(longer)[1]  # chunk 2 is the first that the extension rendered
    assert joint <= max(steps(whole))


def test_an_extension_shares_the_files_of_what_was_there(longer, trimmed):
    for name in ("chunk-00000.m4s", "chunk-00000.safetensors", "chunk-00001.safetensors"):
        assert (reel_of(longer) / name).samefile(reel_of(trimmed) / name)
    assert not (reel_of(longer) / "chunk-00001.m4s").samefile(reel_of(trimmed) / "chunk-00001.m4s")
    assert len(frames_of(trimmed)) == 34


def test_an_extension_with_a_new_prompt_is_the_clip_with_that_schedule(studio, trimmed):
    grown = studio.make(
        "grown.mp4", "extend", trimmed, "--frames", 90, "--prompt", NIGHT, "--blend-chunks", 1
    )
    planned = studio.render(
        "planned.mp4", "--frames", 90, "--schedule", f"2: {NIGHT}", "--blend-chunks", 1
    )
    assert grown.read_bytes() == planned.read_bytes()
    assert json.loads(planned.with_suffix(".json").read_text())["mode"] == "interactive"


def test_a_clip_from_a_picture_grows_without_it(studio, tmp_path):
    picture = tmp_path / "start.png"
    Image.linear_gradient("L").resize((100, 80)).save(picture)
    options = ("--image", picture, "--skip-first-chunk", "--frames")
    short = studio.render("short.mp4", *options, 34)
    at_once = studio.render("at_once.mp4", *options, 70)
    picture.unlink()
    grown = studio.make("from_picture.mp4", "extend", short, "--frames", 70)
    assert grown.read_bytes() == at_once.read_bytes()


def test_a_branch_without_anything_new_is_the_clip_itself(studio, whole):
    same = studio.make("same.mp4", "branch", whole, "--from-chunk", 1)
    assert same.read_bytes() == whole.read_bytes()


def test_a_branch_with_another_seed_shares_what_comes_before_and_nothing_after(studio, whole):
    other = studio.make("other.mp4", "branch", whole, "--from-chunk", 1, "--seed", 7)
    first, *later = files(other, "negative")
    assert first == files(whole, "negative")[0]
    assert (reel_of(other) / "chunk-00000.m4s").samefile(reel_of(whole) / "chunk-00000.m4s")
    for mine, theirs in zip(later, files(whole, "negative")[1:], strict=True):
        assert mine != theirs
    assert Reel.open(reel_of(other)).record.fork.seed == 7


def test_a_clip_decoded_again_into_ffv1_holds_the_very_frames_that_were_rendered(
    studio, longer, rendered
):
    """Its first chunks come from one process, its last from another."""
    archive = studio.make("archive.mkv", "redecode", longer)
    assert np.array_equal(frames_of(archive), rendered)
    sidecar = json.loads(archive.with_name("archive.mkv.json").read_text())
    assert "ffv1" in sidecar["stack_id"]
    assert "x264" not in sidecar["stack_id"]


def test_decoded_again_as_a_take_is_encoded_it_is_the_take(studio, whole):
    again = studio.make("again.mp4", "redecode", whole)
    assert again.read_bytes() == whole.read_bytes()
    assert not list(studio.folder.glob(".again*")), "no piece stays behind"


def test_a_clip_decoded_quickly_is_decoded_again_exactly(studio):
    exact = studio.render("exact.mp4", "--frames", 33)
    quick = studio.render("quick.mp4", "--frames", 33, "--vae", "bfloat16")
    assert quick.read_bytes() != exact.read_bytes()
    again = studio.make("exact_again.mp4", "redecode", quick, "--vae", "float32")
    assert again.read_bytes() == exact.read_bytes()
    names = (quick.with_suffix(".json"), again.with_name("exact_again.mp4.json"))
    vaes = [json.loads(name.read_text())["recipe"]["vae"] for name in names]
    assert vaes == ["bfloat16", "float32"]


def test_sidecars_follow_the_farms_schema(whole, longer):
    schema = json.loads((Path(__file__).parents[3] / "docs" / "sidecar.schema.json").read_text())
    for film in (whole, longer):
        sidecar = json.loads(film.with_suffix(".json").read_text())
        jsonschema.validate(sidecar, schema)
        assert sidecar["take_sha256"] == sha256_of_file(film)
        assert [chunk["frames"] for chunk in sidecar["chunks"]] == [33, 33, 24]


def test_a_finished_clip_asked_for_again_needs_no_render_child(studio, whole):
    before = whole.read_bytes()
    whole.unlink()
    said = farm_node(*studio.asked("--frames", 90), "--out", whole, "--model", studio.model)
    assert said.code == 0
    assert "chunk" not in said.err
    assert whole.read_bytes() == before
