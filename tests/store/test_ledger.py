"""Reading: pages, names, and beside a writer."""

import threading

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import DBAPIError

from farm.domain.clip import Cancelled, ClipState
from farm.domain.errors import AmbiguousName, NotFound
from farm.store import tables
from tests.fixtures.ledger import LEASE, Farm, new_clip


def test_batches_page_from_the_newest_whatever_the_clock_did(farm: Farm):
    for n, now in enumerate([50.0, 10.0, 10.0, 99.0, 1.0]):
        farm.now = now
        farm.submit(batch_id=f"b{n}", name=f"n{n}", project="odd" if n % 2 else "even")

    def ids(**query) -> list[str]:
        return [batch.batch_id for batch in farm.ledger.batches(**query)]

    assert ids(limit=2) == ["b4", "b3"]
    assert ids(limit=2, before="b3") == ["b2", "b1"]
    assert ids(limit=2, before="b1") == ["b0"]
    assert ids(limit=9, project="odd") == ["b3", "b1"]
    assert ids(limit=9, project="odd", before="b3") == ["b1"]
    assert [batch.batch_id for batch in farm.store.open_batches()] == ["b0", "b1", "b2", "b3", "b4"]
    with pytest.raises(NotFound, match="begin with the first page"):
        ids(limit=2, before="b9")


def test_active_batches_have_open_clips_or_ended_lately(farm: Farm):
    for batch_id, ended_at in (("long-ago", 100.0), ("lately", 900.0), ("open", None)):
        (clip,) = farm.submit(new_clip(1), batch_id=batch_id)
        if ended_at is not None:
            farm.move(clip, Cancelled("x"))
            with farm.store._engine.begin() as connection:
                of_batch = tables.batches.c.batch_id == batch_id
                connection.execute(update(tables.batches).where(of_batch).values(ended_at=ended_at))
    active = farm.ledger.batches(limit=9, active=True, ended_after=500.0)
    assert [batch.batch_id for batch in active] == ["open", "lately"]
    assert [batch.batch_id for batch in farm.ledger.batches(limit=9, active=True)] == ["open"]


def test_a_batch_is_found_by_id_or_by_a_name_of_its_own(farm: Farm):
    farm.submit(batch_id="b1", name="alone")
    farm.submit(batch_id="b2", name="twins")
    farm.submit(batch_id="b3", name="twins", project="q")
    farm.submit(batch_id="b4", name="b1")
    assert farm.ledger.find_batch("alone").batch_id == "b1"
    assert farm.ledger.find_batch("b1").name == "alone"
    assert farm.ledger.find_batch("b3").name == "twins"
    with pytest.raises(AmbiguousName, match=r"b3 \(q\), b2 \(p\)"):
        farm.ledger.find_batch("twins")
    with pytest.raises(NotFound, match="'nothing'"):
        farm.ledger.find_batch("nothing")


def test_clips_page_in_the_order_of_the_file(farm: Farm):
    clips = farm.submit(*[new_clip(n, name=f"z{999 - n}") for n in range(1, 8)])
    farm.move(clips[1], Cancelled("x"))
    farm.move(clips[5], LEASE)

    def ordinals(**query) -> list[int]:
        return [row.clip.ordinal for row in farm.ledger.clips("b1", **query)]

    assert ordinals(limit=3) == [1, 2, 3]
    assert ordinals(limit=3, after=3) == [4, 5, 6]
    assert ordinals(limit=3, after=7) == []
    assert ordinals(limit=9, states=[ClipState.LEASED, ClipState.CANCELLED]) == [2, 6]
    assert ordinals(limit=9, after=2, states={ClipState.QUEUED}) == [3, 4, 5, 7]


def test_more_than_99_999_clips_stay_in_order(farm: Farm):
    farm.submit(new_clip(100_000), new_clip(99_999))
    assert [row.clip.clip_id for row in farm.ledger.clips("b1", limit=5)] == [
        "b1-99999",
        "b1-100000",
    ]
    assert [clip.ordinal for clip in farm.store.clips_in_memory("b1")] == [99_999, 100_000]
    submitted = [event.clip_id for event in farm.ledger.events(after=0, limit=5)]
    assert submitted == ["", "b1-99999", "b1-100000"]


def test_events_are_followed_from_where_one_left_off(farm: Farm):
    clips = farm.submit(batch_id="b1")
    farm.submit(batch_id="b2")
    farm.move(clips[0], LEASE)
    events = farm.ledger.events(after=0, limit=100)
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    followed, after = [], 0
    while page := farm.ledger.events(after=after, limit=2):
        followed += page
        after = page[-1].sequence
    assert followed == events
    of_batch = farm.ledger.events(after=events[2].sequence, limit=100, batch_id="b1")
    assert [event.kind for event in of_batch] == ["submit", "lease"]
    assert of_batch[-1].card_id == "card"


def test_progress_speaks_for_many_batches(farm: Farm):
    ids = [f"b{n}" for n in range(4)]
    for batch_id in ids:
        farm.submit(batch_id=batch_id)
    progress = farm.ledger.progress([*ids, "nobody", *[f"x{n}" for n in range(1000)]])
    assert list(progress) == ids
    assert farm.ledger.clip_counts() == {state: 12 * (state == "queued") for state in ClipState}


def test_a_reader_beside_a_writer_sees_what_was_committed_and_nobody_waits(farm: Farm):
    clips = farm.submit()
    in_memory = farm.store.clips_in_memory("b1")
    first = next(in_memory)
    with farm.ledger._engine.connect() as snapshot:
        assert snapshot.scalar(tables.clips.select().with_only_columns(tables.clips.c.state))
        farm.move(clips[0], LEASE)
        states = snapshot.scalars(tables.clips.select().with_only_columns(tables.clips.c.state))
        assert set(states) == {"queued"}
    assert farm.ledger.clip_rows([first.clip_id])[first.clip_id].clip.state is ClipState.LEASED
    assert [first, *in_memory] == clips


def test_readers_in_several_threads_see_whole_commits(farm: Farm):
    clips = farm.submit(*[new_clip(n) for n in range(1, 41)])
    sums: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            sums.add(sum(farm.ledger.progress(["b1"])["b1"].clips.values()))
            sums.add(len(farm.ledger.clips("b1", limit=100)))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for clip in clips:
            farm.move(clip, LEASE)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert sums == {40}


def test_a_reader_cannot_write(farm: Farm):
    statement = insert(tables.requests).values(
        request_id="r", digest="d", batch_id="b", result=0, answered_at=0.0
    )
    with farm.ledger._engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(statement)
