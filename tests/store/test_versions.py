"""Versions in the ledger: they join their batch whole, and share objects as long as needed."""

from dataclasses import replace

import pytest

from farm.domain.batch import BatchState
from farm.domain.clip import Cancelled, Clip, ClipState
from farm.domain.digest import digest_of
from farm.domain.errors import BadDecision, NotFound, StaleWrite
from farm.domain.ledger import AddedClip, BatchChange, Commit
from farm.domain.names import input_key
from farm.domain.spec import LoraUse, NewClip, Origin
from tests.fixtures.ledger import LEASE, Farm, new_clip


def joining(farm: Farm, *clips: NewClip, batch_id: str = "b2") -> None:
    farm.stage(*clips, batch_id=batch_id, joins="b1")


def next_version(ordinal: int, of: int, **more) -> NewClip:
    origin = Origin("retake", f"b1-{of:05d}")
    return replace(new_clip(ordinal, f"clip {of}", prompt="new"), version=2, origin=origin, **more)


def add(farm: Farm, base: Clip, chunks: int, ordinal: int, kind: str = "branch") -> Clip:
    """A new version that takes over some chunks."""
    row = farm.ledger.clip_rows([base.clip_id])[base.clip_id]
    new = NewClip(
        ordinal=ordinal, row=2, name=row.name, spec=row.spec, version=ordinal,
        origin=Origin(kind, base.clip_id, chunks),
    )  # fmt: skip
    clip = Clip(
        clip_id=f"b1-{ordinal:05d}", batch_id="b1", ordinal=ordinal, frames=base.frames,
        work=base.work, chunks_done=chunks, taken_over=chunks,
    )  # fmt: skip
    farm.commit(Commit(added=[AddedClip(clip=clip, row=new, detail="why")]))
    return clip


def released(farm: Farm) -> list[str]:
    """Keys that retention lets go now."""
    found = farm.store.release(
        farm.epoch, farm.now, chunks_before=farm.now + 1, events_before=0, limit=100
    )
    return [stored.key for stored in found.objects]


def keys(farm: Farm, clip: Clip) -> set[str]:
    return {stored.key for c in farm.ledger.chunks(clip.clip_id) for stored in c.objects}


class TestJoining:
    def test_clips_move_to_the_end_of_their_batch_with_all_that_is_counted(self, farm: Farm):
        farm.submit()
        joining(farm, next_version(4, 2), new_clip(5))
        farm.store.stage_dependencies(farm.epoch, "b2", [(5, 1), (5, 4)])
        farm.publish("b2")
        assert [batch.batch_id for batch in farm.ledger.batches(limit=9)] == ["b1"]
        rows = farm.ledger.clips("b1", limit=9)
        assert [(r.name, r.version, r.clip.ordinal) for r in rows[3:]] == [
            ("clip 2", 2, 4),
            ("clip 5", 1, 5),
        ]
        assert farm.ledger.latest("b1", ["clip 2", "none"]) == {"clip 2": rows[3]}
        assert farm.ledger.versions("b1")["clip 2"] == 2
        assert farm.ledger.clip_ids("b1", ["clip 2"]) == {"clip 2": "b2-00004"}
        progress = farm.ledger.progress(["b1"])["b1"]
        assert (progress.clips, progress.chunks) == ({ClipState.QUEUED: 5}, 10)
        assert farm.store.unmet("b1")[5] == {1: ClipState.QUEUED, 4: ClipState.QUEUED}
        events = farm.ledger.events(after=4, limit=9)
        assert [(e.batch_id, e.clip_id, e.kind) for e in events] == [
            ("b1", "", "resubmit"), ("b1", "b2-00004", "submit"), ("b1", "b2-00005", "submit"),
        ]  # fmt: skip

    def test_the_second_of_two_changes_nothing(self, farm: Farm):
        farm.submit()
        joining(farm, next_version(4, 2))
        joining(farm, next_version(4, 3), batch_id="b3")
        farm.publish("b2")
        with pytest.raises(StaleWrite, match="try again"):
            farm.publish("b3")
        assert len(farm.ledger.clips("b1", limit=9)) == 4
        assert farm.store.request("request-b3") is None
        assert farm.store.discard_staged(farm.epoch) == 1

    def test_a_batch_that_was_cancelled_or_is_not_there_takes_nothing(self, farm: Farm):
        joining(farm, next_version(1, 1), batch_id="b0")
        with pytest.raises(NotFound):
            farm.publish("b0")
        farm.submit()
        batch = replace(farm.store.batch("b1"), state=BatchState.CANCELLED)
        farm.commit(Commit(batches=[BatchChange(batch, "cancel")]))
        joining(farm, next_version(4, 2))
        with pytest.raises(BadDecision, match="cancelled"):
            farm.publish("b2")
        assert len(farm.ledger.clips("b1", limit=9)) == 3


class TestSharing:
    def test_an_object_goes_when_the_last_that_names_it_lets_it_go(self, farm: Farm):
        base = farm.deliver(farm.submit(new_clip(1, frames=33 * 8))[0])
        first = add(farm, base, 4, 2)
        second = add(farm, first, 2, 3)
        assert keys(farm, second) < keys(farm, first) < keys(farm, base)
        shared = keys(farm, first)
        gone = set(released(farm))
        assert gone
        assert not gone & shared
        assert farm.ledger.relatives_keys(base.clip_id) >= shared
        farm.move(first, Cancelled("called off"))
        gone = set(released(farm))
        assert gone
        assert not gone & (keys(farm, second) | keys(farm, base))
        farm.move(second, Cancelled("called off"))
        last = set(released(farm))
        assert last
        assert not last & keys(farm, base)

    def test_what_was_let_go_cannot_be_taken_over(self, farm: Farm):
        base = farm.deliver(farm.submit(new_clip(1, frames=33 * 8))[0])
        released(farm)
        with pytest.raises(StaleWrite, match="0 of the 4 chunks"):
            add(farm, base, 4, 2)
        assert len(farm.ledger.clips("b1", limit=9)) == 1

    def test_a_new_version_counts_what_it_takes_over(self, farm: Farm):
        base = farm.deliver(farm.submit(new_clip(1, frames=33 * 4))[0])
        clip = add(farm, base, 3, 2)
        assert list(farm.store.clips_in_memory("b1")) == [clip]
        progress = farm.ledger.progress(["b1"])["b1"]
        assert (progress.chunks, progress.chunks_done) == (8, 7)
        assert [c.chunk for c in farm.ledger.chunks(clip.clip_id)] == [0, 1, 2]
        assert farm.ledger.clip_events(clip.clip_id, limit=9)[0].detail == "why"


class TestReuse:
    def test_a_clip_with_a_take_is_done_at_once(self, farm: Farm):
        given = replace(new_clip(1, frames=33), digest="same")
        base = farm.deliver(farm.submit(given)[0])
        (found,) = farm.ledger.reusable("p", ["same", "other"])
        assert (found.clip_id, found.model_digest, found.stack_id) == (
            base.clip_id, "model", "stack",
        )  # fmt: skip
        assert farm.ledger.reusable("another project", ["same"]) == []
        origin = Origin("reuse", base.clip_id, 1)
        open_clips = farm.submit(
            replace(given, origin=origin),
            replace(new_clip(2), origin=Origin("reuse", "gone", 2)),
            batch_id="b2",
        )
        assert [clip.ordinal for clip in open_clips] == [2]
        reused, rendered = farm.ledger.clips("b2", limit=9)
        theirs = farm.ledger.clip_rows([base.clip_id])[base.clip_id].take
        assert reused.take == replace(theirs, clip_id=reused.clip.clip_id)
        assert (reused.clip.state, reused.clip.chunks_done) == (ClipState.DONE, 1)
        assert reused.finished_at == farm.now
        assert (rendered.clip.state, rendered.origin) == (ClipState.QUEUED, None)
        assert keys(farm, reused.clip) == keys(farm, base)
        assert farm.ledger.find_batch("b2").ended_at is None
        progress = farm.ledger.progress(["b2"])["b2"]
        assert progress.clips == {ClipState.DONE: 1, ClipState.QUEUED: 1}
        assert progress.frames_delivered == 33
        event = farm.ledger.clip_events(reused.clip.clip_id, limit=9)[0]
        assert (event.to_state, event.detail) == ("done", f"the take of clip {base.clip_id}")

    def test_a_batch_of_nothing_else_has_ended_with_its_notice(self, farm: Farm):
        given = replace(new_clip(1, frames=33), digest="same")
        base = farm.deliver(farm.submit(given)[0])
        farm.submit(replace(given, origin=Origin("reuse", base.clip_id, 1)), batch_id="b2")
        assert farm.ledger.find_batch("b2").ended_at == farm.now
        (notice,) = farm.store.notices(farm.now, 9)
        assert (notice.batch_id, notice.kind) == ("b2", "done")

    def test_a_take_that_was_steered_is_not_what_its_digest_says(self, farm: Farm):
        clip = farm.submit(replace(new_clip(1, frames=33), digest="calm"))[0]
        farm.deliver(clip)
        steered = farm.submit(replace(new_clip(1), digest="steered"), batch_id="b2")[0]
        farm.deliver(steered)  # its second chunk was
        assert [r.digest for r in farm.ledger.reusable("p", ["calm", "steered"])] == ["calm"]


class TestDigest:
    def test_it_differs_with_all_that_decides_pixels(self):
        spec = new_clip(1).spec
        others = [
            replace(spec, prompt="x"), replace(spec, seed=9), replace(spec, fps=25),
            replace(spec, steps=(2, 2, 2)), replace(spec, quality="exact"), spec,
        ]  # fmt: skip
        assert len({digest_of(each) for each in others}) == len(others)
        assert digest_of(spec) == digest_of(new_clip(1).spec)

    def test_names_of_what_may_change_have_none(self):
        spec, content = new_clip(1).spec, input_key("p", "ab" * 32, "png")
        assert digest_of(replace(spec, image=f"s3://farm/{content}"))
        for changed in (
            {"image": "/mnt/show/plate.png"},
            {"video": "s3://farm/plates/a.mp4"},
            {"image": f"s3://farm/{content}", "video": "/a.mp4"},
            {"loras": (LoraUse("film"),)},
        ):
            assert digest_of(replace(spec, **changed)) == ""


def test_lease_is_of_the_new_version(farm: Farm):
    base = farm.deliver(farm.submit(new_clip(1, frames=33 * 4))[0])
    clip = farm.move(add(farm, base, 2, 2), LEASE)
    assert (clip.attempt, clip.chunks_done) == (1, 2)
