"""A ledger keeps what it holds on the way to the next schema, and on the way back."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine

from farm.domain.clip import Cancelled
from farm.store import open_ledger, open_store
from farm.store.engine import writer_engine
from farm.store.schema import _config
from tests.fixtures.ledger import LEASE, Database, Farm, new_clip

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
  VALUES ('b1-00001', 0, 1, 'card', 33, 1.5, 0.5, 3.0, 'key', 'ab', 7);
"""


def migrate(path: Path, revision: str, *, back: bool = False) -> None:
    def run(engine: Engine) -> None:
        config = _config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            (command.downgrade if back else command.upgrade)(config, revision)

    engine = writer_engine(path)
    try:
        run(engine)
    finally:
        engine.dispose()


def rows(path: Path, query: str) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_what_the_first_schema_held_is_there_in_the_second(tmp_path: Path):
    path = tmp_path / "farm.db"
    migrate(path, "0001")
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_DATA)
    connection.close()
    open_store(path).close()
    ledger = open_ledger(path)
    (clip,) = ledger.clips("b1", limit=9)
    (chunk,) = ledger.chunks("b1-00001")
    ledger.close()
    assert (clip.spec.prompt, clip.spec.mode, clip.columns) == (
        "a fox",
        "text_to_video",
        {"shot": "010"},
    )
    assert (clip.spec.image, clip.spec.schedule, clip.spec.image_noise) == ("", (), None)
    assert (chunk.lanes, chunk.energy_joules, chunk.steered) == (1, None, ())
    assert [stored.kind for stored in chunk.objects] == ["segment"]


def test_the_way_back_keeps_all_that_the_first_schema_knows(tmp_path: Path):
    path = tmp_path / "farm.db"
    migrate(path, "0001")
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_DATA)
    connection.close()
    tables = ("batches", "clips", "texts", "chunks")
    before = {table: rows(path, f"SELECT * FROM {table}") for table in tables}
    schema = rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name")
    migrate(path, "head")
    migrate(path, "0001", back=True)
    assert {table: rows(path, f"SELECT * FROM {table}") for table in tables} == before
    columns = {
        table: rows(path, f"SELECT name FROM pragma_table_info('{table}')") for table in tables
    }
    assert ("options",) not in columns["texts"]
    assert ("lanes",) not in columns["chunks"]
    assert [name for name, _ in schema] == [
        name for name, _ in rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name")
    ]
    migrate(path, "head")
    open_ledger(path).close()


def test_no_clip_is_silently_made_into_another_on_the_way_back(database: Database):
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0))
    path = Path(database.url.removeprefix("sqlite:///"))
    (clip,) = farm.submit(new_clip(1, image="/data/fox.png", mode="image_to_video"))
    with pytest.raises(RuntimeError, match="1 open clips ask for what the version before cannot"):
        migrate(path, "0001", back=True)
    assert farm.ledger.clips("b1", limit=1)[0].spec.image == "/data/fox.png"
    farm.move(clip, LEASE, Cancelled("for the downgrade"))
    migrate(path, "0001", back=True)
    assert rows(path, "SELECT state, mode FROM clips") == [("cancelled", "image_to_video")]
