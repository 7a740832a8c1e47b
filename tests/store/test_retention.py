"""What ended long ago is let go; a take and a last checkpoint never are."""

from dataclasses import replace

import pytest

from farm.domain.clip import (
    AttemptFailed,
    Cancelled,
    ChunkRecorded,
    Clip,
    ClipState,
    GiveUp,
    Requeued,
    RetryAt,
)
from farm.domain.errors import Fenced
from farm.domain.ledger import Released
from farm.store.purge import BatchOpen, purge_batch
from tests.fixtures.ledger import LEASE, Farm, new_clip
from tests.fixtures.ledger_rows import rows

NOTHING = Released(clips=0, events=0, objects=())


def release(farm: Farm, chunks: float = 0.0, events: float = 0.0, limit: int = 100) -> Released:
    return farm.store.release(
        farm.epoch, farm.now, chunks_before=chunks, events_before=events, limit=limit
    )


def kept(farm: Farm, clip: Clip) -> list[tuple[int, str]]:
    return [
        (chunk.chunk, stored.kind)
        for chunk in farm.ledger.chunks(clip.clip_id)
        for stored in chunk.objects
    ]


def test_of_a_finished_clip_take_and_last_checkpoint_stay(farm: Farm):
    farm.now = 1000.0
    clip = farm.deliver(farm.submit(new_clip(1, frames=33 * 8))[0])
    before = farm.ledger.chunks(clip.clip_id)
    assert release(farm, chunks=1000.0) == NOTHING
    farm.now = 5000.0
    released = release(farm, chunks=1000.5)
    assert released.clips == 1
    # The anchor's first two, and the last three: 19 latent frames reach back over three chunks.
    assert kept(farm, clip) == [(n, "negative") for n in (0, 1, 5, 6, 7)]
    gone = {stored.key for chunk in before for stored in chunk.objects}
    still = {stored.key for c in farm.ledger.chunks(clip.clip_id) for stored in c.objects}
    assert {stored.key for stored in released.objects} == gone - still
    assert sum(stored.size_bytes for stored in released.objects) == 7 * len(released.objects)
    row = farm.ledger.clip_rows([clip.clip_id])[clip.clip_id]
    assert row.take is not None
    assert row.clip == clip
    measured = [replace(chunk, objects=()) for chunk in farm.ledger.chunks(clip.clip_id)]
    assert measured == [replace(chunk, objects=()) for chunk in before]
    assert release(farm, chunks=9999.0) == NOTHING


def test_a_short_clip_keeps_all_its_negatives(farm: Farm):
    clip = farm.deliver(farm.submit(new_clip(1, frames=33 * 4))[0])
    release(farm, chunks=farm.now + 1)
    assert kept(farm, clip) == [(n, "negative") for n in range(4)]


def test_a_clip_without_a_take_keeps_nothing_and_cannot_go_on(farm: Farm):
    clips = farm.submit()
    clip = farm.move(clips[0], LEASE, ChunkRecorded(0), Cancelled("called off"))
    bare = farm.move(clips[1], Cancelled("called off"))
    release(farm, chunks=farm.now + 1)
    assert kept(farm, clip) == []
    assert farm.store.released([c.clip_id for c in (*clips, clip)]) == {clip.clip_id}
    again = farm.move(bare, Requeued())
    farm.deliver(again)
    assert release(farm, chunks=farm.now + 1).clips == 1


def test_what_has_not_ended_is_never_let_go(farm: Farm):
    clips = farm.submit(*[new_clip(n) for n in range(1, 5)])
    moved = [
        farm.move(clips[0], LEASE, ChunkRecorded(0)),
        farm.move(
            clips[1], LEASE, ChunkRecorded(0), AttemptFailed("no", RetryAt(1.0), at_fault=False)
        ),
    ]
    failed = farm.move(
        clips[2], LEASE, ChunkRecorded(0), AttemptFailed("no", GiveUp("no"), at_fault=False)
    )
    again = farm.move(failed, Requeued())
    assert release(farm, chunks=1e12, events=1e12) == NOTHING
    for clip in (*moved, again):
        assert (0, "negative") in kept(farm, clip)
        assert (0, "segment") in kept(farm, clip)


def test_a_step_has_a_limit_and_the_oldest_go_first(farm: Farm):
    clips = farm.submit(*[new_clip(n, frames=33) for n in range(1, 6)])
    for n, clip in enumerate(reversed(clips)):
        farm.now = 100.0 + n
        farm.deliver(clip)
    assert [release(farm, chunks=1e9, limit=2).clips for _ in range(4)] == [2, 2, 1, 0]
    with pytest.raises(Fenced):
        farm.store.release(farm.epoch - 1, 1.0, chunks_before=1.0, events_before=0.0, limit=1)


def test_events_of_batches_that_ended_are_deleted_only_when_asked(farm: Farm):
    farm.now = 100.0
    for clip in farm.submit(batch_id="over"):
        farm.move(clip, Cancelled("x"))
    farm.now = 200.0
    for clip in farm.submit(batch_id="later"):
        farm.move(clip, Cancelled("x"))
    farm.submit(batch_id="open")
    count = len(farm.ledger.events(after=0, limit=1000))
    assert release(farm, chunks=1e9).events == 0
    deleted = release(farm, events=150.0).events
    assert deleted == 7
    assert len(farm.ledger.events(after=0, limit=1000)) == count - deleted
    assert farm.ledger.events(after=0, limit=9, batch_id="over") == []
    assert release(farm, events=150.0).events == 0
    assert farm.ledger.progress(["over"])["over"].clips == {ClipState.CANCELLED: 3}


def test_a_purged_batch_leaves_no_row_and_touches_no_other(farm: Farm):
    farm.deliver(farm.submit(batch_id="kept")[0])
    before = rows(farm.database.url)
    clips = farm.submit(*[new_clip(n) for n in (1, 2)], batch_id="gone", project="q")
    farm.deliver(clips[0])
    with pytest.raises(BatchOpen, match="gone has clips that have not ended"):
        purge_batch(farm.database.url, "gone")
    farm.move(clips[1], Cancelled("x"))
    deleted = purge_batch(farm.database.url, "gone")
    assert deleted["clips"] == 2
    assert deleted["takes"] == 1
    assert rows(farm.database.url) == before
    farm.submit(batch_id="next")


def test_what_clips_start_from_is_known_until_they_are_let_go(farm: Farm):
    farm.now = 1000.0
    clips = farm.submit(
        new_clip(1, image="s3://b/p/inputs/a.png"),
        new_clip(2, video="show:/plates/b.mov"),
        new_clip(3),
    )
    both = {"s3://b/p/inputs/a.png", "show:/plates/b.mov"}
    assert farm.ledger.input_places() == both
    farm.deliver(clips[0])
    assert farm.ledger.input_places() == both
    farm.now = 5000.0
    assert release(farm, chunks=4000.0).clips == 1
    assert farm.ledger.input_places() == {"show:/plates/b.mov"}
