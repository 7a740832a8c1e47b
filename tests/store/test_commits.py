"""Commits: by one writer, from the state that is there, whole or not at all."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import select

from farm.domain.batch import Batch, BatchProgress, BatchState
from farm.domain.clip import (
    CHUNK_FRAMES,
    TRANSITIONS,
    AttemptFailed,
    AttemptLost,
    Cancelled,
    ChunkRecorded,
    ClipState,
    EventKind,
    Finished,
    Holder,
    Leased,
    RetryAt,
    step,
)
from farm.domain.errors import Fenced, RequestConflict, StaleWrite
from farm.domain.ledger import (
    BatchChange,
    CardRow,
    ClipChange,
    Commit,
    EventRow,
    RequestRow,
    Totals,
)
from farm.store import tables
from tests.fixtures.ledger import LEASE, Farm, add, chunk_row, new_clip, possible_event, take_row


def card(card_id: str, **changes) -> CardRow:
    row = CardRow(
        card_id=card_id, node_id="n", hostname="節点", slot=0, device="H200", vram_bytes=2**40,
        renderer="testcard", model_digest="m", stack_id="s", incarnation="i1", frames_rendered=5,
    )  # fmt: skip
    return replace(row, **changes)


def everything(farm: Farm) -> tuple:
    """All that readers can see."""
    clips = farm.ledger.clips("b1", limit=1000)
    return (
        clips,
        [farm.ledger.chunks(row.clip.clip_id) for row in clips],
        farm.ledger.events(after=0, limit=10_000),
        farm.ledger.progress(["b1"]),
        farm.ledger.batches(limit=10),
        farm.store.totals(),
        farm.store.cards(),
    )


def test_an_earlier_epoch_cannot_write_any_more(farm: Farm):
    clips = farm.submit()
    farm.stage(new_clip(1), batch_id="staged")
    later = farm.database.store()
    assert later.claim_epoch(2.0) == farm.epoch + 1
    before = everything(farm)
    batch = Batch(batch_id="b9", name="n", project="p", created_at=1.0)
    lease = Commit(clips=[ClipChange(clips[0], step(clips[0], LEASE), EventKind.LEASE)])
    request = RequestRow("late", "d", "staged")
    for write in (
        lambda: farm.commit(lease),
        lambda: farm.commit(Commit()),
        lambda: farm.store.stage_batch(farm.epoch, batch),
        lambda: farm.store.stage_clips(farm.epoch, "staged", [new_clip(2)]),
        lambda: farm.store.publish_batch(farm.epoch, 1.0, "staged", request),
        lambda: farm.store.discard_batch(farm.epoch, "staged"),
        lambda: farm.store.discard_staged(farm.epoch),
    ):
        with pytest.raises(Fenced, match="was claimed"):
            write()
    assert everything(farm) == before
    later.commit(farm.epoch + 1, 3.0, lease)
    assert later.discard_staged(farm.epoch + 1) == 1
    assert farm.ledger.events(after=0, limit=100)[-1].epoch == farm.epoch + 1


def test_epochs_grow_over_restarts(farm: Farm):
    epochs = [farm.database.store().claim_epoch(float(at)) for at in (9, 3, 7)]
    assert epochs == [farm.epoch + 1, farm.epoch + 2, farm.epoch + 3]


@pytest.mark.parametrize(
    "outdated",
    [
        {"state": ClipState.LEASED, "holder": Holder("a", "b")},
        {"attempt": 1},
        {"chunks_done": 1},
        {"clip_id": "b1-99999"},
    ],
)
def test_a_change_from_another_state_writes_nothing_of_its_commit(farm: Farm, outdated: dict):
    clips = farm.submit()
    before = everything(farm)
    commit = Commit(
        totals=Totals(clips_delivered=9),
        cards=[card("c")],
        requests=[RequestRow("r", "d", "b1", 1)],
        batches=[
            BatchChange(replace(farm.ledger.find_batch("b1"), state=BatchState.PAUSED), "pause")
        ],
    )
    add(commit, clips[0], LEASE)
    stale = replace(clips[1], **outdated)
    commit.clips.append(ClipChange(stale, replace(stale, attempt=9), EventKind.LEASE))
    with pytest.raises(StaleWrite, match="1 of 2"):
        farm.commit(commit)
    assert everything(farm) == before
    assert farm.store.request("r") is None


def test_a_replayed_commit_is_refused(farm: Farm):
    clips = farm.submit()
    commit = Commit()
    add(commit, clips[0], LEASE)
    farm.commit(commit)
    after = everything(farm)
    with pytest.raises(StaleWrite):
        farm.commit(commit)
    assert everything(farm) == after


def test_several_steps_of_a_clip_in_one_commit_are_written_in_order(farm: Farm):
    [clip] = farm.submit(new_clip(1, frames=66))
    commit = Commit()
    for event in (LEASE, ChunkRecorded(0), ChunkRecorded(1), Finished()):
        clip = add(commit, clip, event)
    farm.commit(commit)
    [row] = farm.ledger.clips("b1", limit=1)
    assert row.clip == clip
    kinds = [event.kind for event in farm.ledger.events(after=0, limit=10)]
    assert kinds == ["submit", "submit", "lease", "chunk", "chunk", "done"]


def test_what_is_delivered_reads_back_whole(farm: Farm):
    clips = farm.submit(new_clip(1, frames=70))
    done = farm.deliver(clips[0])
    row = farm.ledger.clip_rows([done.clip_id, "nobody"])[done.clip_id]
    assert row.clip == done == farm.store.clip(done.clip_id)
    assert row.take == take_row(done)
    assert row.finished_at == farm.now
    with farm.ledger._engine.connect() as connection:
        bound = select(tables.clips.c.model_digest, tables.clips.c.stack_id)
        assert connection.execute(bound).one() == ("model", "stack")
    chunks = [chunk_row(replace(done, chunks_done=n)) for n in range(3)]
    assert farm.ledger.chunks(done.clip_id) == chunks
    progress = farm.ledger.progress(["b1"])["b1"]
    assert progress == BatchProgress({ClipState.DONE: 1}, 3, 3, 70, 70)
    assert list(farm.store.clips_in_memory("b1")) == []


def test_a_take_without_its_event_or_an_event_without_its_take_is_a_defect(farm: Farm):
    [clip] = farm.submit(new_clip(1, frames=33))
    clip = farm.move(clip, LEASE, ChunkRecorded(0))
    commit = Commit()
    add(commit, clip, Finished())
    with pytest.raises(ValueError, match="takes and finished clips differ"):
        farm.commit(replace(commit, takes=[]))
    with pytest.raises(ValueError, match="takes and finished clips differ"):
        farm.commit(replace(commit, clips=[]))
    with pytest.raises(ValueError, match="chunks"):
        farm.commit(Commit(chunks=[chunk_row(clip)]))
    farm.commit(commit)


def test_a_chunk_is_recorded_once(farm: Farm):
    [clip] = farm.submit(new_clip(1))
    clip = farm.move(clip, LEASE, ChunkRecorded(0))
    # A coordinator that forgot the chunk would say so in `before`; even one that lies about the
    # clip cannot add a second row.
    again = Commit(chunks=[chunk_row(replace(clip, chunks_done=0))])
    again.clips.append(ClipChange(replace(clip, chunks_done=0), clip, EventKind.CHUNK))
    with pytest.raises(StaleWrite):
        farm.commit(again)
    assert len(farm.ledger.chunks(clip.clip_id)) == 1


def test_an_object_that_no_chunk_has_is_refused(farm: Farm):
    [clip] = farm.submit(new_clip(1))
    clip = farm.move(clip, LEASE)
    commit = Commit()
    add(commit, clip, ChunkRecorded(0))
    row = commit.chunks[0]
    twice = replace(row, objects=(*row.objects, row.objects[0]))
    with pytest.raises(ValueError, match="at most one of each"):
        farm.commit(replace(commit, chunks=[twice]))


def test_holders_budgets_and_blocks_survive_a_restart(farm: Farm):
    clips = farm.submit()
    back = RetryAt(9.0)
    clips = [
        farm.move(
            clip,
            LEASE,
            ChunkRecorded(0),
            AttemptFailed("the input is at fault", back, at_fault=True),
            LEASE,
            AttemptLost("expired", back, started=True),
            LEASE,
        )
        for clip in clips
    ]
    again = farm.database.store()
    assert list(again.clips_in_memory("b1")) == clips
    for clip in clips:
        assert (clip.losses, clip.failures, clip.attempt, clip.chunks_done) == (1, 1, 3, 1)
        assert clip.blocked == clip.input_failed == ("card",)
        assert clip.holder == LEASE.holder


def test_a_backoff_is_not_stored(farm: Farm):
    clips = farm.submit()
    after = replace(clips[0], not_before=77.0, reason="later")
    farm.commit(Commit(clips=[ClipChange(clips[0], after, EventKind.LOST)]))
    assert farm.store.clip(after.clip_id) == replace(after, not_before=0.0)


def test_totals_and_cards_are_stored(farm: Farm):
    assert farm.store.totals() == Totals()
    totals = Totals(2**40, 2, 3, 4, 5, 6, 2**50, 8)
    farm.commit(Commit(totals=totals, cards=[card("a"), card("b")]))
    farm.commit(Commit(cards=[card("b", incarnation="i2"), card("c"), card("c", slot=7)]))
    again = farm.database.store()
    assert again.totals() == totals
    assert again.cards() == [card("a"), card("b", incarnation="i2"), card("c", slot=7)]


def test_decisions_about_a_batch_are_kept_with_their_events(farm: Farm):
    farm.submit()
    batch = farm.ledger.find_batch("b1")
    paused = replace(batch, state=BatchState.PAUSED, reason="over budget", priority=-3)
    farm.commit(Commit(batches=[BatchChange(paused, "pause", "over budget")]))
    assert farm.ledger.find_batch("b1") == paused
    event = farm.ledger.events(after=0, limit=10, batch_id="b1")[-1]
    assert (event.kind, event.from_state, event.to_state, event.detail) == (
        "pause", "open", "paused", "over budget",
    )  # fmt: skip
    farm.commit(
        Commit(batches=[BatchChange(replace(paused, state=BatchState.CANCELLED), "cancel")])
    )
    assert farm.store.open_batches() == []
    with pytest.raises(StaleWrite, match="no batch b9"):
        farm.commit(Commit(batches=[BatchChange(replace(batch, batch_id="b9"), "pause")]))


def test_a_request_is_answered_once(farm: Farm):
    clips = farm.submit()
    request = RequestRow("cancel-1", "digest", "b1", 1)
    commit = Commit(requests=[request])
    add(commit, clips[0], Cancelled("by hand"))
    farm.commit(commit)
    assert farm.store.request("cancel-1") == request
    assert farm.store.request("cancel-2") is None
    with pytest.raises(RequestConflict):
        farm.commit(Commit(requests=[replace(request, digest="other")]))
    with pytest.raises(StaleWrite, match="answered already"):
        farm.commit(Commit(requests=[request]))


def test_clips_are_found_by_state_name_and_id(farm: Farm):
    clips = farm.submit(*[new_clip(n) for n in range(1, 1301)])
    ended = farm.move(clips[4], Cancelled("by hand"))
    find = farm.store.clips_in_states
    assert find("b1", [ClipState.CANCELLED]) == [ended]
    assert find("b1", [ClipState.QUEUED], ["clip 5", "clip 3", clips[0].clip_id, "b1-00003"]) == [
        clips[0],
        clips[2],
    ]
    names = [f"clip {n}" for n in range(1300, 0, -1)]
    assert find("b1", list(ClipState), names) == [*clips[:4], ended, *clips[5:]]
    assert find("b1", [], names) == []


def check_history(events: list[EventRow], final: dict[str, ClipState]) -> None:
    """Events are a walk through the state machine that ends where the clips are."""
    states: dict[str, str] = {}
    attempts: Counter[str] = Counter()
    for event in events:
        if not event.clip_id:
            continue
        if event.kind == EventKind.SUBMIT:
            assert event.clip_id not in states
        else:
            assert event.from_state == states[event.clip_id]
            allowed = TRANSITIONS[ClipState(event.from_state), EventKind(event.kind)]
            assert ClipState(event.to_state) in allowed
            leased = event.kind == EventKind.LEASE
            assert event.attempt == attempts[event.clip_id] + leased
        states[event.clip_id] = event.to_state
        attempts[event.clip_id] = event.attempt
    assert states == {clip_id: state.value for clip_id, state in final.items()}


def derived(clips) -> BatchProgress:
    live = [clip for clip in clips if clip.state is not ClipState.CANCELLED]
    return BatchProgress(
        clips=dict(Counter(clip.state for clip in clips)),
        chunks=sum(-(-clip.frames // CHUNK_FRAMES) for clip in live),
        chunks_done=sum(clip.chunks_done for clip in live),
        frames=sum(clip.frames for clip in live),
        frames_delivered=sum(clip.frames for clip in clips if clip.state is ClipState.DONE),
    )


@pytest.mark.parametrize("seed", range(8))
def test_events_tallies_and_takes_agree_with_the_clips_whatever_happens(farm: Farm, seed: int):
    dice = random.Random(seed)
    clips = farm.submit(*[new_clip(n, frames=dice.randint(1, 140)) for n in range(1, 9)])
    for _ in range(40):
        commit = Commit()
        for _ in range(dice.randint(1, 6)):
            n = dice.randrange(len(clips))
            event = possible_event(clips[n], dice)
            if event is not None:
                clips[n] = add(commit, clips[n], event)
        farm.commit(commit)
    rows = farm.ledger.clips("b1", limit=100)
    assert [row.clip for row in rows] == [replace(clip, not_before=0.0) for clip in clips]
    check_history(
        farm.ledger.events(after=0, limit=10_000), {clip.clip_id: clip.state for clip in clips}
    )
    assert farm.ledger.progress(["b1"]) == {"b1": derived(clips)}
    counts = farm.ledger.clip_counts()
    assert {state: n for state, n in counts.items() if n} == derived(clips).clips
    for row in rows:
        assert (row.take is not None) == (row.clip.state is ClipState.DONE)
        assert (row.finished_at is not None) == row.clip.ended
        assert len(farm.ledger.chunks(row.clip.clip_id)) == row.clip.chunks_done
    open_clips = [replace(clip, not_before=0.0) for clip in clips if not clip.ended]
    assert list(farm.store.clips_in_memory("b1")) == open_clips


def test_a_lease_needs_a_holder_whatever_a_writer_says(farm: Farm):
    clips = farm.submit()
    nobody = replace(step(clips[0], Leased(Holder("c", "i"))), holder=None)
    with pytest.raises(StaleWrite, match="holds something else"):
        farm.commit(Commit(clips=[ClipChange(clips[0], nobody, EventKind.LEASE)]))
