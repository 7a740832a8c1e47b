"""From one record to the next, without a renderer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node_agent.cli import parse
from node_agent.reel.operations import all_again, branched, differences, extended, remaining
from node_agent.reel.presets import table
from node_agent.reel.reel import Record, Reel, ReelChunk, ReelError, ReelFile
from node_agent.render.messages import ChunkDone, FileRecord
from node_agent.render.renderer import Fork, PromptMark, RenderSpec

FOLDER = Path("/films/fox.reel")
DOCS = Path(__file__).parents[3] / "docs"


def file(name: str) -> ReelFile:
    return ReelFile(name=name, size=1, sha256=name)


def record(frames: int, chunks: int, **spec: object) -> Record:
    """A clip of which so many chunks are rendered."""
    return Record(
        spec=RenderSpec(
            clip_id="fox", prompt="a fox", frames=frames, height=64, width=64, seed=3, **spec
        ),
        fps=24,
        embeddings=file("embeddings.safetensors"),
        chunks=tuple(
            ReelChunk(
                frames=min(33, frames - 33 * number),
                segment=file(f"{number}.m4s"),
                negative=file(f"{number}.safetensors"),
                seconds=1.0,
                stack_id="s",
            )
            for number in range(chunks)
        ),
    )


def test_a_clip_goes_on_with_the_negatives_that_it_needs():
    assert remaining(record(99, 3), FOLDER) is None
    start = remaining(record(330, 6), FOLDER)
    assert (start.resume_chunk, start.redecode) == (6, ())
    assert start.negatives == {n: f"{FOLDER}/{n}.safetensors" for n in (0, 3, 4, 5)}
    assert start.embeddings == f"{FOLDER}/embeddings.safetensors"
    skipping = remaining(record(330, 6, skip_first_chunk=True), FOLDER)
    assert sorted(skipping.negatives) == [0, 1, 3, 4, 5]
    assert not remaining(record(99, 0), FOLDER).negatives


@pytest.mark.parametrize(
    ("before", "after", "again", "resume"),
    [
        (34, 35, (1,), 2),  # only frames come back, nothing is rendered
        (34, 66, (1,), 2),
        (34, 90, (1,), 2),
        (66, 90, (), 2),
        (1, 330, (0,), 1),
        (330, 331, (), 10),
    ],
)
def test_frames_trimmed_from_the_last_chunk_come_back_first(before, after, again, resume):
    start = remaining(extended(record(before, -(-before // 33)), "longer", after), FOLDER)
    assert (start.redecode, start.resume_chunk) == (again, resume)
    assert set(again) <= set(start.negatives)


def test_a_clip_extended_twice_or_before_it_was_finished_forgets_nothing():
    unfinished = extended(record(99, 1), "longer", 132)
    assert remaining(unfinished, FOLDER).resume_chunk == 1
    twice = extended(extended(record(34, 2), "longer", 40), "longest", 50)
    assert remaining(twice, FOLDER).redecode == (1,)


def test_a_new_prompt_takes_the_place_of_what_was_planned_from_there_on():
    marks = (PromptMark(chunk=1, prompt="rain"), PromptMark(chunk=3, prompt="sun"))
    clip = record(132, 4, schedule=marks)
    other = branched(clip, "other", 2, prompt="night", blend_chunks=1)
    assert other.spec.schedule == (marks[0], PromptMark(chunk=2, prompt="night", blend_chunks=1))
    assert len(other.chunks) == 2
    longer = extended(clip, "longer", 165, prompt="night")
    assert [mark.chunk for mark in longer.spec.schedule] == [1, 3, 4]


def test_a_branchs_seed_goes_with_it_and_with_what_is_made_of_it():
    clip = branched(record(132, 4), "other", 2, seed=9)
    assert remaining(clip, FOLDER).spec.fork == Fork(chunk=2, seed=9)
    begun = replace(clip, chunks=record(132, 3).chunks)
    assert branched(begun, "same", 2).fork == Fork(chunk=2, seed=9)
    assert branched(begun, "earlier", 1).fork is None
    assert remaining(extended(clip, "longer", 165), FOLDER).spec.fork == Fork(chunk=2, seed=9)


def test_only_a_finished_clip_is_decoded_again():
    start = all_again(record(90, 3), FOLDER, Path("/pieces"))
    assert (start.redecode, start.resume_chunk, start.lossless) == ((0, 1, 2), 3, True)
    assert (start.directory, len(start.negatives)) == ("/pieces", 3)
    with pytest.raises(ReelError, match="1 of 3 chunks"):
        all_again(record(90, 1), FOLDER, Path("/pieces"))


def test_another_clip_is_told_from_the_same_one():
    clip = record(99, 2)
    assert not differences(clip, record(99, 0))
    assert not differences(clip, replace(clip, device="cuda:0", threads=9, model="/moved"))
    wanted = replace(record(99, 0, image="/b.png"), fps=25, recipe={"arithmetic": "float32"})
    assert [each.split(" (")[0] for each in differences(clip, wanted)] == [
        "image '/b.png'",
        "fps 25",
        "recipe's arithmetic 'float32'",
    ]
    assert not differences(clip, replace(clip, recipe={"vae": "bfloat16-tiled"})), "the card's"
    pinned = record(99, 0, vae="tiny")
    assert [each.split(" (")[0] for each in differences(clip, pinned)] == ["vae 'tiny'"]
    assert differences(clip, replace(clip, fork=Fork(chunk=1, seed=1)))


def test_a_reel_is_read_back_as_it_was_written_and_links_what_it_shares(tmp_path):
    source = Reel.create(tmp_path / "a.reel", record(99, 0))
    with pytest.raises(ReelError, match="no reel"):
        Reel.open(tmp_path / "b.reel")
    path = source.folder / "chunk-00000.m4s"
    path.write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    source.record = replace(source.record, embeddings=None)
    done = ChunkDone(
        clip_id="fox",
        attempt=1,
        chunk=0,
        frames=33,
        frames_rendered=33,
        render_seconds=2.5,
        encode_seconds=0.1,
        segment=FileRecord(path=str(path), size=1, sha256=digest),
        energy_joules=7.0,
        steered=(PromptMark(chunk=0, prompt="night"),),
        profile="fast",
    )
    source.add(done, "stack")
    assert Reel.open(source.folder).record == source.record
    [chunk] = source.record.chunks
    assert (chunk.joules, chunk.stack_id, chunk.steered) == (7.0, "stack", done.steered)
    assert chunk.profile == "fast"

    copy = Reel.create(tmp_path / "b.reel", source.record, source.folder)
    assert (copy.folder / path.name).samefile(path)
    path.unlink()
    path.write_bytes(b"y")
    copy.check_files()
    with pytest.raises(ReelError, match=path.name):
        Reel.create(tmp_path / "c.reel", source.record, source.folder)
    assert {each.name for each in tmp_path.iterdir()} == {"a.reel", "b.reel"}


def test_two_renders_do_not_share_a_reel(tmp_path):
    reel = Reel.create(tmp_path / "a.reel", record(99, 0))
    with reel.held(), pytest.raises(ReelError, match="at work"), Reel.open(reel.folder).held():
        pass
    with reel.held():
        pass


def test_marks_are_chunks_or_times():
    typed = ["1: a: b", "chunk 2:c", "5s: d", "2.75 s: e", "2.8s: f"]
    marks = parse.schedule(typed, fps=24, blend_chunks=2)
    assert [(mark.chunk, mark.prompt) for mark in marks] == [
        (1, "a: b"),
        (2, "c"),
        (4, "d"),
        (2, "e"),  # 66 frames: chunk 2 begins just then
        (3, "f"),
    ]


def test_the_documents_table_of_presets_is_the_recipes():
    assert table() in (DOCS / "rendering.md").read_text()
