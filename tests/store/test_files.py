"""The ledger's file: made, migrated, recognised, and durable."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.store import LedgerRefused, open_ledger, open_store, sqlite
from farm.store.engine import reader_engine, writer_engine
from farm.store.tables import metadata
from tests.fixtures.ledger import Farm


def schema_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Every table and index, its definition as sorted parts: columns and constraints that were
    added later stand elsewhere."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    )
    return {
        name: sorted(" ".join(part.split()) for part in re.split(r",(?![^(]*\))", inner(sql)))
        for name, sql in rows
    }


def inner(sql: str) -> str:
    """The definition between its outermost parentheses, with what stands before and after them."""
    head, _, rest = sql.partition("(")
    body, _, tail = rest.rpartition(")")
    return f"{head},{body},{tail}"


def test_migrations_lead_from_nothing_to_the_tables_that_the_code_uses(tmp_path: Path):
    open_store(tmp_path / "farm.db").close()
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        wanted = schema_of(connection.connection.dbapi_connection)
    engine.dispose()
    with sqlite3.connect(tmp_path / "farm.db") as migrated:
        assert schema_of(migrated) == wanted
    migrated.close()
    engine = reader_engine(tmp_path / "farm.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_again_keeps_everything(tmp_path: Path):
    store = open_store(str(tmp_path / "farm.db"))
    assert store.claim_epoch(1.0) == 1
    store.close()
    store = open_store(f"sqlite:///{tmp_path / 'farm.db'}")
    assert store.claim_epoch(2.0) == 2
    store.close()


def test_a_path_may_have_any_name(tmp_path: Path):
    folder = tmp_path / "f 100% ?#é 日"
    folder.mkdir()
    store = open_store(folder / "farm?mode=memory.db")
    store.claim_epoch(1.0)
    open_ledger(folder / "farm?mode=memory.db").close()
    store.close()
    assert (folder / "farm?mode=memory.db").stat().st_size > 0


@pytest.mark.parametrize("open_", [open_store, open_ledger])
def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, open_):
    path = tmp_path / "farm.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerRefused, match="9999, which a newer Heliostat wrote"):
        open_(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("open_", [open_store, open_ledger])
def test_another_programs_file_is_refused_and_left_alone(tmp_path: Path, open_):
    database = tmp_path / "other.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE clips (id)")
    connection.close()
    text = tmp_path / "prompts.csv"
    text.write_text("id,prompt\n" * 100)
    for path, why in ((database, "another program"), (text, "cannot be read as a ledger")):
        before = path.read_bytes()
        with pytest.raises(LedgerRefused, match=why):
            open_(path)
        assert path.read_bytes() == before
    with pytest.raises(LedgerRefused, match="is no file"):
        open_(tmp_path)


def test_a_start_that_died_before_its_first_table_can_be_repeated(tmp_path: Path):
    path = tmp_path / "farm.db"
    engine = writer_engine(path)
    engine.connect().close()
    engine.dispose()
    with pytest.raises(LedgerRefused, match="revision none"):
        open_ledger(path)
    open_store(path).close()
    open_ledger(path).close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "not memory"),
        (":memory:", "not memory"),
        ("sqlite:///a.db?mode=ro", "takes no options"),
        ("sqlite//:bad://", "use sqlite:///PATH"),
    ],
)
def test_what_cannot_hold_a_ledger_is_refused_with_what_to_do(url: str, why: str):
    for open_ in (open_store, open_ledger):
        with pytest.raises(LedgerRefused, match=why):
            open_(url)


def test_missing_places_are_named(tmp_path: Path):
    with pytest.raises(LedgerRefused, match="make it first"):
        open_store(tmp_path / "none" / "farm.db")
    with pytest.raises(LedgerRefused, match="there is no ledger at"):
        open_ledger(tmp_path / "farm.db")
    assert list(tmp_path.iterdir()) == []


def test_commits_are_flushed_to_the_disk_and_keys_are_enforced(tmp_path: Path):
    engine = writer_engine(tmp_path / "farm.db")
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    engine.dispose()
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_epoch_that_a_write_checked_holds_until_its_commit(tmp_path: Path):
    store = open_store(tmp_path / "farm.db")
    epoch = store.claim_epoch(1.0)
    rival = sqlite3.connect(tmp_path / "farm.db", timeout=0, isolation_level=None)
    with store._write(epoch):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("UPDATE farm SET epoch = epoch + 1")
        rival.execute("SELECT epoch FROM farm").fetchall()
    rival.close()
    assert store.claim_epoch(2.0) == epoch + 1
    store.close()


def test_a_second_ledger_compiles_nothing_anew(tmp_path: Path):
    def compiled_for(path: Path) -> int:
        store, ledger = open_store(path), open_ledger(path)
        before = len(sqlite._COMPILED)
        batch = Batch(batch_id="b1", name="b", project="p", created_at=1.0)
        store.stage_batch(store.claim_epoch(1.0), batch)
        assert store.open_batches() == ledger.batches(limit=1) == []
        ledger.close()
        store.close()
        return len(sqlite._COMPILED) - before

    sqlite._COMPILED.clear()
    assert compiled_for(tmp_path / "one.db") > 0
    assert compiled_for(tmp_path / "two.db") == 0


SCAN = re.compile(r"SCAN|.*Seq Scan")
SMALL = re.compile(r"farm|totals|cards|tallies")


def plan(farm: Farm, statement: str, parameters: Any) -> list[str]:
    """How the database goes about a statement; PostgreSQL reads a table through if it must."""
    if isinstance(parameters, list):
        parameters = parameters[0]
    if farm.database.url.startswith("sqlite"):
        raw = sqlite3.connect(farm.database.url.removeprefix("sqlite:///"))
        steps = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        raw.close()
        return [step[3] for step in steps]
    with psycopg.connect(farm.database.url) as connection:
        connection.execute("SET enable_seqscan = off")
        return [line for (line,) in connection.execute(f"EXPLAIN {statement}", parameters)]


def test_no_question_reads_through_all_clips_or_events(farm: Farm):
    clips = farm.submit()
    asked: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    for engine in (farm.ledger._engine, farm.store._engine, farm.store._reads):
        event.listen(engine, "before_cursor_execute", note)
    farm.ledger.find_batch("b1")
    farm.ledger.batches(limit=5, before="b1", project="p")
    farm.ledger.progress(["b1"])
    farm.ledger.clips("b1", limit=5, after=1)
    farm.ledger.clips("b1", limit=5, states=[ClipState.FAILED, ClipState.DONE])
    farm.ledger.clip_rows([clip.clip_id for clip in clips])
    farm.ledger.chunks(clips[0].clip_id)
    farm.ledger.events(after=1, limit=5)
    farm.ledger.events(after=1, limit=5, batch_id="b1")
    farm.ledger.clip_counts()
    list(farm.store.clips_in_memory("b1"))
    farm.store.clip(clips[0].clip_id)
    farm.store.clips_in_states("b1", [ClipState.QUEUED], ["clip 1"])
    farm.store.request("r")
    farm.deliver(clips[0])
    plans = [
        (line, statement)
        for statement, parameters in asked
        if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE"))
        for line in plan(farm, statement, parameters)
    ]
    assert len(plans) > 20
    scans = [line for line in plans if SCAN.match(line[0]) and not SMALL.search(line[0])]
    assert scans == []
