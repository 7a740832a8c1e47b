"""A backup holds all of a ledger at one moment, and comes back into either kind of database."""

import itertools
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from farm.domain.errors import Fenced
from farm.domain.ledger import Commit
from farm.store import LedgerRefused, backup, restore
from farm.store.backup_file import BackupReader, BackupRefused, BackupWriter, Manifest
from farm.store.tables import metadata
from tests.fixtures.ledger import LEASE, Database, Farm, new_clip
from tests.fixtures.ledger_rows import fill, migrate, rows

PAIRS = [(a, b) for a in ("sqlite", "postgresql") for b in ("sqlite", "postgresql")]


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """URLs of databases without tables, of either kind."""
    made, numbers = [], itertools.count()

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / f'farm{next(numbers)}.db'}"
        server = request.getfixturevalue("postgresql")
        made.append(url := server.url(server.create()))
        return url

    yield make
    for url in made:
        request.getfixturevalue("postgresql").drop(url)


def save(url: str, file: Path) -> Manifest:
    return backup(url, file, at=5.0, on_rows=lambda _done, _total: None)


def bring_back(file: Path, url: str, *, replace: bool = False) -> Manifest:
    return restore(file, url, at=9.0, replace=replace, on_rows=lambda _done, _total: None)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_backup_of_one_database_comes_back_whole_in_the_other(
    make_url: Callable[[str], str], tmp_path: Path, source: str, target: str
):
    url, other, file = make_url(source), make_url(target), tmp_path / "ledger.zip"
    fill(url)
    before = rows(url)
    manifest = save(url, file)
    assert rows(url) == before
    assert manifest.rows == sum(map(len, before.values()))
    bring_back(file, other)
    after = rows(other)
    (farm_before,), (farm_after,) = before.pop("farm"), after.pop("farm")
    assert farm_after["farm_id"] == farm_before["farm_id"]
    assert farm_after["epoch"] == farm_before["epoch"] + 1
    # One clip was leased: it is queued again, its tally with it, and an event says so.
    (lost,) = [event for event in after["events"] if event not in before["events"]]
    assert (lost["kind"], lost["to_state"]) == ("lost", "queued")
    assert "restored" in lost["detail"]
    (leased,) = [row for row in before["clips"] if row["state"] == "leased"]
    assert lost["clip_id"] == leased["clip_id"]
    changed = [row for row in after["clips"] if row not in before["clips"]]
    assert [(row["clip_id"], row["state"]) for row in changed] == [(leased["clip_id"], "queued")]
    for name in ("events", "clips", "tallies"):
        del before[name], after[name]
    assert after == before
    again = Database(other)
    store = again.store()
    farm = Farm(again, store, again.ledger(), store.claim_epoch(10.0))
    assert farm.ledger.progress(["b1"])["b1"].clips[ClipState.QUEUED] == 4
    for clip in list(store.clips_in_memory("b1")):
        farm.deliver(clip)
    farm.submit(batch_id="later")
    sequence = [event.sequence for event in farm.ledger.events(after=0, limit=1000)]
    assert sequence == sorted(set(sequence))
    for opened in again.opened:
        opened.close()


def test_a_backup_beside_a_writer_holds_one_moment(farm: Farm, tmp_path: Path):
    clips = farm.submit(*[new_clip(n) for n in range(1, 301)])
    begun, stop = threading.Event(), threading.Event()

    def render() -> None:
        for clip in clips:
            farm.deliver(clip)
            begun.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=render)
    writer.start()
    try:
        assert begun.wait(60)
        for n in range(3):
            save(farm.database.url, tmp_path / f"{n}.zip")
    finally:
        stop.set()
        writer.join()
    for n in range(3):
        other = tmp_path / f"{n}.db"
        bring_back(tmp_path / f"{n}.zip", str(other))
        held = Database(str(other))
        ledger = held.ledger()
        listed = ledger.clips("b1", limit=1000)
        ledger.close()
        tables = rows(str(other))
        done = [row for row in listed if row.clip.state is ClipState.DONE]
        assert len(tables["takes"]) == len(done)
        assert len(tables["chunks"]) == sum(row.clip.chunks_done for row in listed)
        kinds = [event["kind"] for event in tables["events"]]
        assert kinds.count("done") == len(done)
        assert kinds.count("chunk") == len(tables["chunks"])


def test_the_coordinator_of_before_cannot_write_into_what_was_restored(farm: Farm, tmp_path: Path):
    farm.submit()
    save(farm.database.url, tmp_path / "ledger.zip")
    farm.store.close()
    farm.ledger.close()
    later = farm.database.store()
    assert later.claim_epoch(2.0) == farm.epoch + 1
    later.close()
    bring_back(tmp_path / "ledger.zip", farm.database.url, replace=True)
    again = farm.database.store()
    with pytest.raises(Fenced):
        again.commit(farm.epoch + 1, 3.0, Commit())
    assert again.claim_epoch(4.0) == farm.epoch + 3


def test_a_report_from_before_the_restore_cannot_change_a_clip(farm: Farm, tmp_path: Path):
    (clip,) = farm.submit(new_clip(1))
    farm.move(clip, LEASE)
    save(farm.database.url, tmp_path / "ledger.zip")
    farm.store.close()
    bring_back(tmp_path / "ledger.zip", farm.database.url, replace=True)
    store = farm.database.store()
    (again,) = store.clips_in_memory("b1")
    assert (again.state, again.holder, again.attempt) == (ClipState.QUEUED, None, 1)
    assert (again.losses, again.failures, again.blocked) == (0, 0, ())


def test_a_ledger_that_holds_something_is_kept_unless_it_is_to_be_replaced(
    farm: Farm, tmp_path: Path
):
    farm.submit()
    file = tmp_path / "ledger.zip"
    save(farm.database.url, file)
    farm.submit(batch_id="b2")
    farm.store.close()
    before = rows(farm.database.url)
    with pytest.raises(LedgerRefused, match=r"not empty.*batches.*--replace"):
        bring_back(file, farm.database.url)
    assert rows(farm.database.url) == before
    bring_back(file, farm.database.url, replace=True)
    assert [row["batch_id"] for row in rows(farm.database.url)["batches"]] == ["b1"]


def test_a_ledger_that_a_coordinator_uses_is_not_replaced(
    request: pytest.FixtureRequest, tmp_path: Path
):
    database = Database(request.getfixturevalue("postgresql").ledger())
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0))
    farm.submit()
    save(database.url, tmp_path / "ledger.zip")
    with pytest.raises(LedgerRefused, match="stop its farm"):
        bring_back(tmp_path / "ledger.zip", database.url, replace=True)
    for opened in database.opened:
        opened.close()


def test_a_farm_that_was_only_started_can_be_restored_into(
    make_url: Callable[[str], str], tmp_path: Path
):
    url, fresh = make_url("sqlite"), make_url("sqlite")
    fill(url)
    save(url, tmp_path / "ledger.zip")
    database = Database(fresh)
    for _ in range(9):
        database.store().claim_epoch(1.0)
    for opened in database.opened:
        opened.close()
    bring_back(tmp_path / "ledger.zip", fresh)
    (held,) = rows(fresh)["farm"]
    assert held["epoch"] == 10
    assert held["farm_id"] == rows(url)["farm"][0]["farm_id"]


def rewrite(file: Path, member: str, change: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    content[member] = change(content[member])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in content.items():
            new.writestr(name, data)


def drop_last_line(data: bytes) -> bytes:
    return data[: data.rstrip(b"\n").rfind(b"\n") + 1]


def manifest_with(**values) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), **values}).encode()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "no backup of a ledger"),
        (lambda file: file.write_bytes(b"not a zip"), "no backup of a ledger"),
        (lambda file: rewrite(file, "tables/clips.jsonl", drop_last_line), "table clips is not"),
        (
            lambda file: rewrite(file, "tables/texts.jsonl", lambda d: d.replace(b"prompt", b"x")),
            "table texts is not",
        ),
        (lambda file: rewrite(file, "tables/takes.jsonl", lambda _: b"[1]\n"), "row 1 of takes"),
        (lambda file: rewrite(file, "tables/takes.jsonl", lambda _: b"{[\n"), "takes cannot be"),
        (lambda file: rewrite(file, "manifest.json", manifest_with(format="x")), "no backup"),
        (lambda file: rewrite(file, "manifest.json", manifest_with(format_version=9)), "version 9"),
        (lambda file: rewrite(file, "manifest.json", manifest_with(revision="9999")), "9999"),
    ],
)
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    farm: Farm, tmp_path: Path, damage: Callable[[Path], object], why: str
):
    farm.deliver(farm.submit()[0])
    file = tmp_path / "ledger.zip"
    save(farm.database.url, file)
    damage(file)
    farm.store.close()
    before = rows(farm.database.url)
    with pytest.raises(BackupRefused, match=why):
        bring_back(file, farm.database.url, replace=True)
    assert rows(farm.database.url) == before


def verify(file: Path) -> None:
    reader = BackupReader(file)
    try:
        reader.verify(lambda _done, _total: None)
    finally:
        reader.close()


def test_a_flipped_bit_anywhere_in_the_tables_is_found(farm: Farm, tmp_path: Path):
    farm.deliver(farm.submit()[0])
    file = tmp_path / "ledger.zip"
    save(farm.database.url, file)
    with zipfile.ZipFile(file) as whole:
        places = [
            info.header_offset + 50 + len(info.filename) + info.compress_size // 2
            for info in whole.infolist()
            if info.compress_size > 80
        ]
    assert len(places) > 3
    data = file.read_bytes()
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        with pytest.raises(BackupRefused):
            verify(file)


def test_a_backup_of_an_earlier_version_is_brought_to_this_one(
    make_url: Callable[[str], str], tmp_path: Path
):
    old, file = make_url("sqlite"), tmp_path / "old.zip"
    fill(old)
    migrate(old, "0001", back=True)
    held = rows(old)
    writer = BackupWriter(file)
    tables = {}
    for table in metadata.sorted_tables:
        if held.get(table.name):
            columns = list(held[table.name][0])
            values = [
                [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()]
                for row in held[table.name]
            ]
            tables[table.name] = writer.table(table.name, columns, values)
    writer.finish(
        Manifest(
            format="heliostat-ledger", format_version=1, heliostat="0.1", revision="0001",
            farm_id="", epoch=1, made_at=1.0, tables=tables,
        )
    )  # fmt: skip
    for target in (make_url("postgresql"), make_url("sqlite")):
        bring_back(file, target)
        ledger = Database(target).ledger()
        assert len(ledger.clips("b1", limit=99)) == 7
        assert [project.name for project in ledger.projects()] == ["default", "p"]
        ledger.close()


def test_a_backup_is_private_and_never_half_written(farm: Farm, tmp_path: Path):
    farm.submit()
    file = tmp_path / "ledger.zip"
    save(farm.database.url, file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupRefused, match="exists: name another"):
        save(farm.database.url, file)

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(farm.database.url, tmp_path / "half.zip", at=1.0, on_rows=interrupt)
    assert not [path for path in tmp_path.iterdir() if "half" in path.name or path.is_dir()]


def test_a_restore_that_fails_leaves_the_ledger_as_it_was(farm: Farm, tmp_path: Path):
    farm.deliver(farm.submit()[0])
    file = tmp_path / "ledger.zip"
    save(farm.database.url, file)
    farm.store.close()
    before = rows(farm.database.url)

    def interrupt(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(file, farm.database.url, at=1.0, replace=True, on_rows=interrupt)
    assert rows(farm.database.url) == before
