"""PostgreSQL as the ledger: recognised, durable, fenced, and back after its server died."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from farm.domain.clip import ClipState
from farm.domain.errors import LedgerUnavailable
from farm.domain.ledger import Commit
from farm.store import LedgerRefused, SqlStore, open_ledger, open_store
from farm.store.engine import reader_engine, shown, writer_engine
from farm.store.tables import metadata
from tests.fixtures.ledger import LEASE, Database, Farm, add, new_clip
from tests.fixtures.postgresql import PostgresServer, running

PASSWORD = "s3cret-Pässword"


@pytest.fixture
def empty(postgresql: PostgresServer) -> Iterator[str]:
    """The URL of a database without tables."""
    url = postgresql.url(postgresql.create())
    yield url
    postgresql.drop(url)


def sql(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_migrations_lead_from_nothing_to_the_tables_that_the_code_uses(empty: str):
    open_store(empty).close()
    engine = reader_engine(empty)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_two_coordinators_that_start_at_once_make_one_ledger(empty: str):
    stores: list[SqlStore] = []
    starts = [threading.Thread(target=lambda: stores.append(open_store(empty))) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert sorted(store.claim_epoch(1.0) for store in stores) == [1, 2, 3, 4]
    for store in stores:
        store.close()


def test_a_database_without_a_ledger_is_made_by_the_store_alone(empty: str):
    with pytest.raises(LedgerRefused, match="start the farm that makes it"):
        open_ledger(empty)
    open_store(empty).close()
    open_ledger(empty).close()


@pytest.mark.parametrize("open_", [open_store, open_ledger])
def test_another_programs_database_is_refused_and_left_alone(empty: str, open_: Callable):
    sql(empty, "CREATE TABLE alembic_version (version_num text); CREATE TABLE clips (id int)")
    with pytest.raises(LedgerRefused, match="another program's database"):
        open_(empty)
    tables = sql(empty, "SELECT relname FROM pg_stat_user_tables ORDER BY 1")
    assert tables == [("alembic_version",), ("clips",)]


@pytest.mark.parametrize("open_", [open_store, open_ledger])
def test_a_newer_schema_is_refused(empty: str, open_: Callable):
    open_store(empty).close()
    sql(empty, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerRefused, match="9999, which a newer Heliostat wrote"):
        open_(empty)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u:hidden@h", "name it"),
        ("postgresql://u:hidden@h/d?options=-cfsync%3Doff", "does not take options"),
        ("postgresql+asyncpg://u:hidden@h/d", "asyncpg is not offered"),
        ("mysql://u:hidden@h/d", "mysql is not offered"),
        ("postgresql://u:hidden@h:port/d", "no database URL"),
    ],
)
def test_what_cannot_hold_a_ledger_is_refused_with_what_to_do(url: str, why: str):
    for open_ in (open_store, open_ledger):
        with pytest.raises(LedgerRefused, match=why) as refused:
            open_(url)
        assert "hidden" not in str(refused.value)


def test_a_missing_driver_is_named_with_its_extra():
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from farm.store import LedgerRefused, open_store\n"
        "try: open_store('postgresql://u@h/d')\n"
        "except LedgerRefused as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "heliostat[postgres]" in said.stdout


def test_a_server_that_is_not_there_is_named_without_its_password():
    with pytest.raises(LedgerUnavailable, match=r"/nowhere") as unavailable:
        open_store(f"postgresql://u:{PASSWORD}@/d?host=/nowhere")
    assert PASSWORD not in str(unavailable.value)


def test_passwords_show_nowhere(
    postgresql: PostgresServer, empty: str, caplog: pytest.LogCaptureFixture
):
    postgresql.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    name = sql(empty, "SELECT current_database()")[0][0]
    try:
        url = postgresql.url(name, "guarded", "s3cret-P%C3%A4ssword")
        with caplog.at_level(logging.DEBUG):
            store = open_store(url)
            said = [repr(store._engine), str(store._engine.url), shown(url)]
            with pytest.raises(LedgerUnavailable, match="password authentication failed") as error:
                open_store(postgresql.url(name, "guarded", "wrong-one"))
        said += [str(error.value), caplog.text]
        store.close()
        for text in said:
            assert not any(word in text for word in (PASSWORD, "s3cret", "wrong-one")), text
        assert shown(url).startswith(f"postgresql://guarded@/{name}?host=")
    finally:
        postgresql.execute("REASSIGN OWNED BY guarded TO farm; DROP OWNED BY guarded", name)
        postgresql.execute("DROP ROLE guarded")


def test_commits_are_flushed_to_the_disk_whatever_the_database_says(empty: str):
    name = sql(empty, "SELECT current_database()")[0][0]
    sql(empty, f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = open_store(empty)
    with store._engine.begin() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    store.close()


def test_the_epoch_that_a_write_checked_holds_until_its_commit(empty: str):
    store = open_store(empty)
    epoch = store.claim_epoch(1.0)
    with store._write(epoch), psycopg.connect(empty) as rival:
        rival.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            rival.execute("UPDATE farm SET epoch = epoch + 1")
    assert store.claim_epoch(2.0) == epoch + 1
    store.close()


def test_a_writer_that_fell_silent_in_a_transaction_is_ended_by_the_server(empty: str):
    store = open_store(empty)
    with store._engine.begin() as connection:
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
    assert limit == "30s"
    epoch = store.claim_epoch(1.0)

    def fall_silent() -> None:
        with store._write(epoch) as connection:
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = '20ms'")
            with psycopg.connect(empty) as witness:
                # Waits for the row until the server has ended the silent session.
                witness.execute("SELECT epoch FROM farm FOR UPDATE")
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerUnavailable):
        fall_silent()
    assert store.claim_epoch(2.0) == epoch + 1
    store.close()


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    """A server of the test's own, as durable as in production."""
    with running(durable=True) as server:
        yield server


def test_everything_acknowledged_survives_kill_9_of_the_server(mortal: PostgresServer):
    database = Database(mortal.ledger())
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0))
    clips = farm.submit(*[new_clip(n) for n in range(1, 1001)])
    acknowledged: list[str] = []
    enough = threading.Event()
    failure: list[BaseException] = []

    def write() -> None:
        try:
            for clip in clips:
                farm.move(clip, LEASE)
                acknowledged.append(clip.clip_id)
                if len(acknowledged) == 20:
                    enough.set()
        except LedgerUnavailable as error:
            failure.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    mortal.kill()
    writer.join(60)
    assert failure, "the writer was told"
    with pytest.raises(LedgerUnavailable):
        farm.commit(Commit())
    mortal.start()
    leased = [
        row.clip.clip_id for row in farm.ledger.clips("b1", limit=2000, states=[ClipState.LEASED])
    ]
    # One more may be written than the server lived to say.
    assert leased[: len(acknowledged)] == acknowledged
    assert len(leased) - len(acknowledged) in (0, 1)
    events = [e.clip_id for e in farm.ledger.events(after=0, limit=5000) if e.kind == "lease"]
    assert events == leased
    assert farm.ledger.progress(["b1"])["b1"].clips[ClipState.LEASED] == len(leased)
    commit = Commit()
    add(commit, farm.store.clip(clips[-1].clip_id), LEASE)
    farm.commit(commit)
    for opened in database.opened:
        opened.close()


def test_readers_go_on_after_a_restart_of_the_server(mortal: PostgresServer):
    database = Database(mortal.ledger())
    store, ledger = database.store(), database.ledger()
    store.claim_epoch(1.0)
    assert ledger.batches(limit=1) == []
    mortal.kill()
    with pytest.raises(LedgerUnavailable):
        ledger.batches(limit=1)
    mortal.start()
    assert ledger.batches(limit=1) == []
    for opened in database.opened:
        opened.close()


def test_a_writer_is_told_from_a_reader_by_the_server(empty: str):
    writer_engine(empty).dispose()
    store = open_store(empty)
    ledger = open_ledger(empty)
    store.totals()
    names = sql(
        empty,
        "SELECT DISTINCT application_name FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'heliostat%' ORDER BY 1",
    )
    assert names == [("heliostat reader",), ("heliostat writer",)]
    ledger.close()
    store.close()
