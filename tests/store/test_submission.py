"""Submissions: nobody sees them before they are whole, and each is accepted once."""

import pytest

from farm.domain.clip import ClipState
from farm.domain.errors import NotFound, RequestConflict, StaleWrite
from farm.domain.ledger import RequestRow
from farm.domain.spec import LoraUse, PromptMark
from tests.fixtures.ledger import Farm, new_clip

SCRIPTS = [
    "日の出",
    "рассвет",
    "الفجر",
    "上🌅下",
    "e\u0301tude",
    "'; DROP TABLE clips; --",
    "a b/c",
    "%s",
]
"""Names as people have them."""


def test_a_staged_batch_is_invisible_to_every_reader(farm: Farm):
    farm.stage()
    assert farm.ledger.batches(limit=10) == []
    assert farm.ledger.clips("b1", limit=10) == []
    assert farm.ledger.clip_rows(["b1-00001"]) == {}
    assert farm.ledger.progress(["b1"]) == {}
    assert farm.ledger.events(after=0, limit=10) == []
    assert farm.ledger.clip_counts()[ClipState.QUEUED] == 0
    assert farm.store.open_batches() == []
    assert list(farm.store.clips_in_memory("b1")) == []
    assert farm.store.clip("b1-00001") is None
    assert farm.store.clips_in_states("b1", list(ClipState)) == []
    assert farm.store.request("request-b1") is farm.ledger.request("request-b1") is None
    with pytest.raises(NotFound, match="'b1'"):
        farm.store.batch("b1")
    for name in ("b1", "batch"):
        with pytest.raises(NotFound):
            farm.ledger.find_batch(name)


def test_publishing_shows_the_whole_batch_with_an_event_for_each_clip(farm: Farm):
    batch = farm.stage()
    farm.publish()
    assert farm.ledger.batches(limit=10) == [batch] == farm.store.open_batches()
    assert farm.store.batch("b1") == batch
    answer = RequestRow("request-b1", "d", "b1", 3)
    assert farm.store.request("request-b1") == answer == farm.ledger.request("request-b1")
    rows = farm.ledger.clips("b1", limit=10)
    assert [row.clip for row in rows] == list(farm.store.clips_in_memory("b1"))
    assert [row.spec for row in rows] == [new_clip(n).spec for n in (1, 2, 3)]
    assert [row.row for row in rows] == [2, 3, 4]
    events = farm.ledger.events(after=0, limit=10)
    assert [(e.clip_id, e.clip_name, e.kind, e.from_state, e.to_state) for e in events] == [
        ("", "", "submit", "", "open"),
        ("b1-00001", "clip 1", "submit", "", "queued"),
        ("b1-00002", "clip 2", "submit", "", "queued"),
        ("b1-00003", "clip 3", "submit", "", "queued"),
    ]
    progress = farm.ledger.progress(["b1"])["b1"]
    assert progress.clips == {ClipState.QUEUED: 3}
    assert (progress.chunks, progress.frames, progress.open_clips) == (6, 198, 3)


def test_a_replayed_submission_makes_one_batch_and_keeps_the_first_answer(farm: Farm):
    farm.stage(batch_id="b1")
    farm.publish("b1", request_id="r")
    farm.stage(batch_id="b2")
    farm.publish("b2", request_id="r")
    assert [batch.batch_id for batch in farm.ledger.batches(limit=10)] == ["b1"]
    assert farm.store.request("r") == RequestRow("r", "d", "b1", 3)
    assert farm.store.discard_staged(farm.epoch) == 0
    events = farm.ledger.events(after=0, limit=100)
    farm.publish("b1", request_id="r")
    assert farm.ledger.events(after=0, limit=100) == events


def test_a_request_id_with_another_payload_is_refused_and_publishes_nothing(farm: Farm):
    farm.submit(batch_id="b1")
    farm.stage(batch_id="b2")
    with pytest.raises(RequestConflict, match="use a new request_id"):
        farm.publish("b2", request_id="request-b1", digest="other")
    assert [batch.batch_id for batch in farm.ledger.batches(limit=10)] == ["b1"]
    assert farm.store.request("request-b2") is None


def test_discarding_removes_every_row_so_that_the_id_can_be_used_again(farm: Farm):
    farm.submit(batch_id="kept")
    farm.stage(batch_id="b1")
    farm.stage(batch_id="b2")
    farm.store.discard_batch(farm.epoch, "b1")
    farm.store.discard_batch(farm.epoch, "kept")
    assert farm.store.discard_staged(farm.epoch) == 1
    assert [batch.batch_id for batch in farm.ledger.batches(limit=10)] == ["kept"]
    assert len(farm.submit(batch_id="b1")) == 3


def test_what_is_not_staged_takes_no_clips_and_cannot_be_published(farm: Farm):
    farm.submit()
    with pytest.raises(NotFound, match="b1 is open"):
        farm.store.stage_clips(farm.epoch, "b1", [new_clip(4)])
    with pytest.raises(NotFound):
        farm.publish("b1", request_id="again")
    with pytest.raises(NotFound):
        farm.publish("b9")
    with pytest.raises(StaleWrite, match="b1 already"):
        farm.stage(batch_id="b1")
    assert len(farm.ledger.clips("b1", limit=10)) == 3


@pytest.mark.parametrize("twin", [new_clip(2, name="clip 1"), new_clip(1, name="other")])
def test_a_block_with_a_name_or_place_that_is_taken_is_refused_whole(farm: Farm, twin):
    farm.stage(new_clip(1))
    with pytest.raises(StaleWrite):
        farm.store.stage_clips(farm.epoch, "b1", [new_clip(3), twin])
    farm.publish()
    assert [row.name for row in farm.ledger.clips("b1", limit=10)] == ["clip 1"]


def test_several_batches_and_clips_may_go_by_the_same_names(farm: Farm):
    first = farm.submit(batch_id="b1", name="same")
    second = farm.submit(batch_id="b2", name="same")
    farm.submit(batch_id="b3", name="same", project="another")
    assert {clip.clip_id for clip in first}.isdisjoint(clip.clip_id for clip in second)
    assert len(farm.ledger.batches(limit=10)) == 3
    assert len(farm.ledger.batches(limit=10, project="p")) == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_names_prompts_and_columns_in_every_script_come_back_as_given(farm: Farm, name: str):
    columns = {name: name, "shot": " 010 ", "empty": "", 'quo"te': "new\nline"}
    clip = new_clip(1, name=name, prompt=name * 50, negative_prompt=name)
    clip = type(clip)(ordinal=1, row=clip.row, name=clip.name, spec=clip.spec, columns=columns)
    farm.submit(clip, name=name, project=name)
    [row] = farm.ledger.clips("b1", limit=1)
    assert (row.name, row.spec, row.columns) == (name, clip.spec, columns)
    assert list(row.columns) == list(columns)
    assert farm.ledger.find_batch(name).project == name
    assert farm.store.clips_in_states("b1", [ClipState.QUEUED], [name]) == [row.clip]
    assert farm.ledger.events(after=0, limit=10)[1].clip_name == name


@pytest.mark.parametrize("seed", [0, 2**31, 2**53 + 1, 2**63 - 1])
def test_seeds_of_63_bits_are_kept_exactly(farm: Farm, seed: int):
    farm.submit(new_clip(1, seed=seed, steps=(2, 2, 2), guidance_scale=1.5, quality="exact"))
    [row] = farm.ledger.clips("b1", limit=1)
    assert (
        row.spec
        == new_clip(1, seed=seed, steps=(2, 2, 2), guidance_scale=1.5, quality="exact").spec
    )
    assert row.clip.work.steps == (2, 2, 2)


def test_equal_work_is_one_object_in_memory(farm: Farm):
    clips = farm.submit(new_clip(1, steps=(1, 1, 1)), new_clip(2, steps=(1, 1, 1)), new_clip(3))
    assert clips[0].work is clips[1].work
    assert clips[0].work != clips[2].work


def test_an_empty_batch_can_be_published(farm: Farm):
    farm.stage(new_clip(1), batch_id="b0")
    farm.store.discard_batch(farm.epoch, "b0")
    batch = farm.stage(new_clip(1), batch_id="full")
    farm.store.stage_clips(farm.epoch, batch.batch_id, [])
    farm.publish("full")
    assert farm.ledger.progress(["full"])["full"].open_clips == 1


def test_all_that_a_clip_starts_from_and_follows_comes_back(farm: Farm):
    clips = [
        new_clip(1, image="/data/füchse.png", mode="image_to_video", image_noise=(0.05, 0.1)),
        new_clip(2, video="s3://heliostat/in/a b.mp4", mode="video_to_video", video_noise=(0, 0)),
        new_clip(
            3,
            frames=330,
            mode="interactive",
            schedule=(PromptMark(2, "then\nit rains | hard"), PromptMark(5, "日の出", 1)),
            loras=(LoraUse("film"), LoraUse("grain.v2", 0.25)),
        ),
        new_clip(4, skip_first_chunk=True, amplify_first_chunk=False),
        new_clip(5, amplify_first_chunk=True),
    ]
    farm.submit(*clips)
    assert [row.spec for row in farm.ledger.clips("b1", limit=9)] == [clip.spec for clip in clips]
