"""A ledger keeps what it holds on the way to the next schema, and on the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from farm.domain.clip import Cancelled
from farm.store import open_ledger, open_store
from farm.store.engine import writer_engine
from farm.store.schema import known_revisions
from tests.fixtures.ledger import LEASE, Database, Farm, new_clip
from tests.fixtures.ledger_rows import Rows, fill, migrate, rows

REVISIONS = known_revisions()

FIRST_DATA = """
INSERT INTO batches (batch_id, project, name, priority, state, reason, created_at, published_at)
  VALUES ('b1', 'p', 'batch', 0, 'open', '', 1.0, 2.0);
INSERT INTO clips (clip_id, batch_id, ordinal, file_row, name, version, quality, mode, frames,
    chunks, height, width, fps, seed, state, chunks_done, created_at)
  VALUES ('b1-00001', 'b1', 1, 2, 'one', 1, 'standard', 'text_to_video', 66, 2, 64, 64, 24, 7,
    'queued', 1, 1.0);
INSERT INTO texts VALUES ('b1-00001', 'a fox', '', '{"shot": "010"}');
INSERT INTO chunks (clip_id, chunk, attempt, card_id, frames, render_seconds, encode_seconds,
    recorded_at, segment_key, segment_sha256, segment_size)
  VALUES ('b1-00001', 0, 1, 'card', 33, 1.5, 0.5, 3.0, 'key', 'ab', 7)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def blank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'farm.db'}"
        return
    server = request.getfixturevalue("postgresql")
    url = server.url(server.create())
    yield url
    server.drop(url)


def execute(url: str, script: str) -> None:
    engine = writer_engine(url)
    with engine.begin() as connection:
        for statement in script.split(";"):
            connection.execute(text(statement.replace(":", r"\:")))
    engine.dispose()


def known_to(held: Rows, other: Rows) -> Rows:
    """What of `held` has a place in the tables of `other`."""
    columns = {name: set(other[name][0]) for name in other if other[name]}
    return {
        name: [{key: row[key] for key in row if key in columns[name]} for row in held[name]]
        for name in columns
        if held.get(name)
    }


def test_what_the_first_schema_held_is_there_in_the_newest(blank: str):
    migrate(blank, "0001")
    execute(blank, FIRST_DATA)
    open_store(blank).close()
    ledger = open_ledger(blank)
    (clip,) = ledger.clips("b1", limit=9)
    (chunk,) = ledger.chunks("b1-00001")
    ledger.close()
    assert (clip.spec.prompt, clip.spec.mode, clip.columns) == (
        "a fox",
        "text_to_video",
        {"shot": "010"},
    )
    assert (clip.spec.image, clip.spec.schedule, clip.spec.image_noise) == ("", (), None)
    assert (chunk.lanes, chunk.energy_joules, chunk.steered, chunk.profile) == (1, None, (), "")
    assert [stored.kind for stored in chunk.objects] == ["segment"]


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_step_back_and_forward_keeps_all_that_both_schemas_know(blank: str, revision: str):
    before = REVISIONS[REVISIONS.index(revision) - 1]
    fill(blank)
    migrate(blank, revision, back=True)
    newer = rows(blank)
    migrate(blank, before, back=True)
    older = rows(blank)
    assert known_to(older, newer) == known_to(newer, older)
    migrate(blank, revision)
    assert known_to(rows(blank), older) == known_to(older, older)
    migrate(blank, before, back=True)
    assert rows(blank) == older
    open_store(blank).close()
    ledger = open_ledger(blank)
    assert len(ledger.clips("b1", limit=99)) == 7
    assert [event.kind for event in ledger.events(after=0, limit=99, batch_id="b2")] == [
        "submit",
        "submit",
    ]
    ledger.close()


def test_a_card_offers_what_it_had_loaded_until_it_speaks_again(blank: str):
    fill(blank)
    migrate(blank, "0005", back=True)
    assert [card["profile"] for card in rows(blank)["cards"]] == ["fast"]
    store = open_store(blank)
    assert [card.profiles for card in store.cards()] == [("fast",)]
    store.close()


def test_the_whole_way_back_and_forward_leaves_a_ledger_that_works(blank: str):
    fill(blank)
    migrate(blank, REVISIONS[0], back=True)
    database = Database(blank)
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(2.0))
    waiting = [clip for clip in store.clips_in_memory("b1") if clip.ordinal in (6, 7)]
    for clip in waiting:
        farm.deliver(clip)
    farm.submit(batch_id="b3")
    assert sum(farm.ledger.progress(["b1"])["b1"].clips.values()) == 7
    for opened in database.opened:
        opened.close()


def test_no_clip_is_silently_made_into_another_on_the_way_back(database: Database):
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0))
    (clip,) = farm.submit(new_clip(1, image="/data/fox.png", mode="image_to_video"))
    with pytest.raises(RuntimeError, match="1 open clips ask for what the version before cannot"):
        migrate(database.url, "0001", back=True)
    assert farm.ledger.clips("b1", limit=1)[0].spec.image == "/data/fox.png"
    farm.move(clip, LEASE, Cancelled("for the downgrade"))
    migrate(database.url, "0001", back=True)
    held = rows(database.url)["clips"]
    assert [(row["state"], row["mode"]) for row in held] == [("cancelled", "image_to_video")]
