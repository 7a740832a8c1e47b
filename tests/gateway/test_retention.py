"""A gateway deletes what the ledger let go and what lost attempts left, and nothing else."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from farm.cli.purge import NotPurged, purge_project
from farm.coordinator import Coordinator
from farm.domain.clip import (
    AttemptLost,
    Cancelled,
    ChunkRecorded,
    Clip,
    ClipState,
    EventKind,
    RetryAt,
    step,
)
from farm.domain.errors import NotFound
from farm.domain.ledger import AddedClip, ClipChange, Commit, StoredObject
from farm.domain.names import batch_prefix, input_key, inputs_prefix, object_key
from farm.domain.spec import NewClip, Origin
from farm.gateway.retention import DAY, Caretaker, Retention
from farm.gateway.threads import Threads
from farm.objects.s3 import S3ObjectStore
from farm.objects.sweep import ORPHAN_SECONDS, UPLOAD_SECONDS
from tests.fixtures.gateway import LocalLink, StoppedClock
from tests.fixtures.ledger import LEASE, Database, Farm, chunk_row, new_clip, take_row


class Ground:
    """A ledger and a bucket that agree, and time that a test moves."""

    def __init__(self, path: Path, objects: S3ObjectStore) -> None:
        self.database = Database(str(path / "farm.db"))
        self.objects = objects
        self.clock = StoppedClock()
        self.coordinator = Coordinator(self.database.store(), self.clock)
        self.link = LocalLink(self.coordinator)
        self.threads = Threads(2, "test")
        self.registry = CollectorRegistry()
        self.ledger = self.database.ledger()
        self.farm = Farm(
            self.database, self.coordinator.store, self.ledger, self.coordinator.epoch, 1_000.0
        )
        self.now = 1_000.0
        self.promised: set[str] = set()

    def caretaker(self, **retention: float) -> Caretaker:
        return Caretaker(
            Retention(**retention), self.ledger, self.objects, self.link, self.threads,
            self.registry, now=lambda: self.now, is_promised=self.promised.__contains__,
        )  # fmt: skip

    def put_input(self, data: bytes, project: str = "default") -> str:
        key = input_key(project, hashlib.sha256(data).hexdigest(), "png")
        self.objects.put(key, data, "image/png")
        return key

    def put(self, clip: Clip, kind: str, chunk: int = 0, data: bytes = b"bytes") -> StoredObject:
        sha256 = hashlib.sha256(data).hexdigest()
        key = object_key(
            project="p", batch=clip.batch_id, clip=f"clip {clip.ordinal}", version=1,
            attempt=clip.attempt, kind=kind, sha256_hex=sha256, ext="bin", chunk=chunk,
        )  # fmt: skip
        self.objects.put(key, data, "application/octet-stream")
        return StoredObject(kind=kind, key=key, sha256=sha256, size_bytes=len(data))

    def record(self, clip: Clip) -> Clip:
        """A chunk, its objects in the bucket."""
        row = chunk_row(clip)
        kinds = [stored.kind for stored in row.objects]
        row = replace(row, objects=tuple(self.put(clip, kind, row.chunk) for kind in kinds))
        after = step(clip, ChunkRecorded(clip.chunks_done))
        change = ClipChange(clip, after, EventKind.CHUNK, card_id="card")
        self.farm.commit(Commit(clips=[change], chunks=[row]))
        return after

    def deliver(self, clip: Clip) -> Clip:
        from farm.domain.clip import Finished

        while clip.chunks_done < clip.chunks:
            clip = self.record(clip)
        take = replace(
            take_row(clip), video=self.put(clip, "take"), sidecar=self.put(clip, "sidecar")
        )
        after = step(clip, Finished())
        change = ClipChange(clip, after, EventKind.DONE, card_id="card")
        self.farm.commit(Commit(clips=[change], takes=[take]))
        return after

    def keys(self, batch_id: str = "b1") -> set[str]:
        return {info.key for info in self.objects.list(batch_prefix("p", batch_id))}

    def close(self) -> None:
        self.link.close()
        self.threads.close()
        for opened in self.database.opened:
            opened.close()


@pytest.fixture
def ground(tmp_path: Path, object_store: S3ObjectStore):
    ground = Ground(tmp_path, object_store)
    yield ground
    ground.close()


def counted(ground: Ground, line: str) -> bool:
    return line in generate_latest(ground.registry).decode()


async def test_chunks_go_after_their_time_and_takes_never(ground: Ground):
    (clip,) = ground.farm.submit(new_clip(1, frames=33 * 6))
    done = ground.deliver(ground.farm.move(clip, LEASE))
    before = ground.keys()
    ground.now = ground.farm.now + 29 * DAY
    keeper = ground.caretaker()
    await keeper.step()
    assert ground.keys() == before
    ground.now = ground.farm.now + 31 * DAY
    await keeper.step()
    chunks = ground.ledger.chunks(done.clip_id)
    named = {stored.key for chunk in chunks for stored in chunk.objects}
    take = ground.ledger.clip_rows([done.clip_id])[done.clip_id].take
    assert take is not None
    assert ground.keys() == named | {take.video.key, take.sidecar.key}
    assert len(named) == 5
    gone = len(before) - len(ground.keys())
    assert counted(ground, f'heliostat_retention_objects_deleted_total{{why="released"}} {gone}.0')
    assert counted(ground, "heliostat_retention_clips_released_total 1.0")


async def test_what_a_version_took_over_stays_when_its_base_is_swept(ground: Ground):
    (clip,) = ground.farm.submit(new_clip(1, frames=33 * 3))
    base = ground.record(ground.record(ground.farm.move(clip, LEASE)))
    row = ground.ledger.clip_rows([base.clip_id])[base.clip_id]
    new = NewClip(
        ordinal=2, row=2, name=row.name, spec=row.spec, version=2,
        origin=Origin("branch", base.clip_id, 2),
    )  # fmt: skip
    branch = replace(
        base, clip_id="b1-00002", ordinal=2, state=ClipState.QUEUED, attempt=0, holder=None
    )
    ground.farm.commit(Commit(added=[AddedClip(clip=branch, row=new)]))
    ground.farm.move(base, Cancelled("called off"))
    before = ground.keys()
    ground.now = ground.farm.now + 31 * DAY
    keeper = ground.caretaker()
    for _ in range(3):
        await keeper.step()
    assert ground.ledger.chunks(base.clip_id)[0].objects == ()
    assert ground.keys() == before
    ground.farm.move(branch, Cancelled("called off"))
    ground.now += 31 * DAY
    await keeper.step()
    assert ground.keys() == set()


async def test_a_farm_may_keep_its_chunks_for_ever(ground: Ground):
    (clip,) = ground.farm.submit(new_clip(1, frames=33 * 6))
    ground.deliver(ground.farm.move(clip, LEASE))
    before = ground.keys()
    ground.now += 9_999 * DAY
    await ground.caretaker(chunk_days=0).step()
    assert ground.keys() == before


async def test_what_a_lost_attempt_left_goes_after_a_day(ground: Ground):
    clips = ground.farm.submit(*[new_clip(n) for n in (1, 2, 3)])
    lost = AttemptLost("gone", RetryAt(0.0), started=True)
    first = ground.farm.move(clips[0], LEASE)
    orphaned = {ground.put(first, "segment", 0, b"never reported").key}
    orphaned.add(ground.put(first, "take", 0, b"a take too many").key)
    ground.deliver(ground.farm.move(first, lost, LEASE))
    called_off = ground.farm.move(clips[1], LEASE)
    orphaned.add(ground.put(called_off, "negative", 1, b"left").key)
    ground.farm.move(called_off, Cancelled("x"))
    under_way = ground.farm.move(clips[2], LEASE, lost, LEASE)
    ground.record(under_way)
    ground.put(under_way, "segment", 1, b"uploaded, to be reported")
    foreign = f"{batch_prefix('p', 'b1')}clip~x/v001/readme.txt"
    ground.objects.put(foreign, b"mine", "text/plain")
    before = ground.keys()
    written = max(info.modified_at for info in ground.objects.list(batch_prefix("p", "b1")))
    keeper = ground.caretaker(chunk_days=0, pass_seconds=60.0)
    ground.now = written + ORPHAN_SECONDS - 3600
    for _ in range(2):
        await keeper.step()
    assert ground.keys() == before
    ground.now = written + ORPHAN_SECONDS + 1
    for _ in range(2):
        await keeper.step()
    assert ground.keys() == before - orphaned
    assert counted(ground, 'heliostat_retention_objects_deleted_total{why="orphan"} 3.0')


async def test_what_died_between_ledger_and_bucket_is_found_later(ground: Ground):
    clips = ground.farm.submit(new_clip(1, frames=33 * 6))
    clip = ground.record(ground.farm.move(clips[0], LEASE))
    ground.farm.move(clip, Cancelled("x"))
    released = ground.coordinator.release(1e12, 0.0, 10)
    assert {stored.key for stored in released.objects} == ground.keys()
    ground.now = max(i.modified_at for i in ground.objects.list("")) + ORPHAN_SECONDS + 1
    await ground.caretaker().step()
    assert ground.keys() == set()


async def test_inputs_stay_while_a_clip_may_need_them_and_uploads_a_week(ground: Ground):
    prefix = inputs_prefix("default")
    needed, promised, left = (ground.put_input(data) for data in (b"a", b"b", b"c"))
    ground.promised.add(promised)
    foreign = f"{prefix}readme.txt"
    ground.objects.put(foreign, b"mine", "text/plain")
    begun = ground.objects.begin_upload(f"{prefix}{'0' * 64}.mov", "video/mp4")
    ground.farm.submit(new_clip(1, image=f"s3://{ground.objects.settings.bucket}/{needed}"))

    def started(at: float) -> Caretaker:
        ground.now, ground.registry = at, CollectorRegistry()
        return ground.caretaker()

    async def keys_after_an_hour_up(at: float) -> set[str]:
        keeper = started(at - 3600)
        await keeper.step()
        ground.now = at
        await keeper.step()
        return {info.key for info in ground.objects.list(prefix)}

    there = {needed, promised, left, foreign}
    written = [info.modified_at for info in ground.objects.list("")]
    assert await keys_after_an_hour_up(min(written) + ORPHAN_SECONDS - 1) == there
    await started(max(written) + ORPHAN_SECONDS + 1).step()
    assert {info.key for info in ground.objects.list(prefix)} == there, "it has just started"
    assert await keys_after_an_hour_up(max(written) + ORPHAN_SECONDS + 1) == there - {left}
    assert counted(ground, 'heliostat_retention_objects_deleted_total{why="input"} 1.0')
    assert list(ground.objects.uploads("")) == [begun]
    assert await keys_after_an_hour_up(begun.begun_at + UPLOAD_SECONDS) == there - {left}
    assert list(ground.objects.uploads("")) == []


def test_purge_removes_a_projects_inputs_too(ground: Ground):
    def purge(*, really: bool) -> dict:
        return purge_project(ground.ledger, ground.objects, ground.database.url, "p", really=really)

    other = ground.put_input(b"another's", "q")
    with pytest.raises(NotFound, match="has no batches"):
        purge(really=True)
    ground.put_input(b"picture", "p")
    ground.objects.begin_upload(f"{inputs_prefix('p')}{'0' * 64}.mov", "video/mp4")
    assert purge(really=False)["kinds"] == {"input": {"objects": 1, "bytes": 7}}
    assert len(list(ground.objects.list(""))) == 2
    told = purge(really=True)
    assert (told["kinds"]["input"]["objects"], told["objects_left"]) == (1, 0)
    assert [info.key for info in ground.objects.list("")] == [other]
    assert list(ground.objects.uploads("")) == []


def test_purge_removes_a_project_and_proves_it(ground: Ground):
    for batch_id in ("b1", "b2"):
        (clip,) = ground.farm.submit(new_clip(1), batch_id=batch_id)
        ground.deliver(ground.farm.move(clip, LEASE))
    (other,) = ground.farm.submit(new_clip(1), batch_id="other", project="q")

    def purge(project: str, *, really: bool) -> dict:
        return purge_project(
            ground.ledger, ground.objects, ground.database.url, project, really=really
        )

    before = ground.keys("b1") | ground.keys("b2")
    told = purge("p", really=False)
    assert (told["removed"], told["batches"], told["clips"]) == (False, 2, 2)
    assert told["objects"] == len(before)
    assert told["bytes"] == 5 * len(before)
    assert told["kinds"]["take"] == {"objects": 2, "bytes": 10}
    assert ground.keys("b1") | ground.keys("b2") == before
    told = purge("p", really=True)
    assert (told["objects"], told["objects_left"], told["batches_left"]) == (len(before), 0, 0)
    assert told["rows"]["takes"] == 2
    assert ground.keys("b1") | ground.keys("b2") == set()
    assert [batch.batch_id for batch in ground.ledger.batches(limit=9)] == ["other"]
    with pytest.raises(NotFound, match="has no batches"):
        purge("p", really=True)
    with pytest.raises(NotPurged, match="not over"):
        purge("q", really=True)
    assert ground.coordinator.store.clip(other.clip_id) is not None
