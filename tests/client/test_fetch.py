"""Takes arrive whole, once, under names that every system can write, whatever the network does."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from farm.client import FetchFailed
from farm.client.clip_filter import ClipFilter
from farm.client.fetch import Progress, fetch
from farm.delivery.folder import WORK_NAME
from farm.delivery.locks import Locks
from farm.domain.names import folded
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types
from tests.fixtures.take_store import TakeStore

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/manifest.schema.json").read_text())
BATCH = types.Batch(batch_id="b", name="shots")


def run(take_store: TakeStore, directory: Path):
    return fetch(take_store.pages, BATCH, directory, lambda _progress: None)


def manifest_of(directory: Path):
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, SCHEMA)
    return manifest


def part_of(directory: Path, stem: str, ext: str) -> Path:
    """Where a file lies until it is whole."""
    key = hashlib.sha256(folded(stem).encode()).hexdigest()[:24]
    path = directory / WORK_NAME / f"{key}.{ext}.part"
    path.parent.mkdir(exist_ok=True)
    return path


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def take(seed: int, size: int = 5_000) -> bytes:
    return hashlib.shake_256(str(seed).encode()).digest(size)


def test_takes_and_sidecars_arrive_under_their_names(take_store: TakeStore, tmp_path: Path) -> None:
    names = ["shot_1", "Shot_1", "a/b", "con", "猫", "shot_1"]
    for n, name in enumerate(names):
        take_store.add(name, take(n), version=2 if n == 5 else 1)
    take_store.add("not yet", b"", done=False)
    fetched = run(take_store, tmp_path / "out")
    assert (fetched.clips, fetched.downloaded, fetched.failed) == (6, 12, [])
    stems = ["shot_1_v001", "Shot_1_v001~3", "a_b_v001", "con_v001", "猫_v001", "shot_1_v002"]
    expected = {f"{stem}.{ext}" for stem in stems for ext in ("mp4", "json")}
    assert files(tmp_path / "out") == {*expected, "manifest.json", "manifest.csv"}
    for n, stem in enumerate(stems):
        assert (tmp_path / "out" / f"{stem}.mp4").read_bytes() == take(n)
    entry = manifest_of(tmp_path / "out")["takes"][2]
    assert (entry["clip"], entry["file"]) == ("a/b", "a_b_v001.mp4")
    assert entry["sha256"] == hashlib.sha256(take(2)).hexdigest()
    assert entry["model_digest"] == "model of a/b"


def test_names_with_folders_make_them_and_never_leave(
    take_store: TakeStore, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    names = ["sq1/sh010/sh010_v001", "../x", "/etc/x", "a//b", "C:\\x", "link/x", ".heliostat/x"]
    for n, name in enumerate(names):
        take_store.add(f"s{n}", take(n), file_name=name)
    fetched = run(take_store, tmp_path / "out")
    assert (fetched.clips, len(fetched.failed)) == (1, 6)
    assert (tmp_path / "out/sq1/sh010/sh010_v001.mp4").read_bytes() == take(0)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"out", "elsewhere"}


def test_what_is_there_is_not_fetched_again(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(25):
        take_store.add(f"s{n}", take(n))
    assert run(take_store, tmp_path).downloaded == 50
    again = run(take_store, tmp_path)
    assert (again.clips, again.downloaded, again.unchanged) == (25, 0, 50)
    assert set(take_store.gets.values()) == {1}


def test_a_dead_process_leaves_no_lock_though_its_take_is_there(
    take_store: TakeStore, tmp_path: Path
) -> None:
    take_store.add("s1", take(1))
    run(take_store, tmp_path)
    code = "import os, pathlib, sys; from farm.delivery.locks import Locks\n"
    code += "with Locks(pathlib.Path(sys.argv[1])).held('s1'): os._exit(9)"
    work = tmp_path / WORK_NAME
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(work)], env=environment, check=False)
    assert [path.name for path in work.iterdir()] == ["s1.lock"]
    assert run(take_store, tmp_path).downloaded == 0
    assert not work.exists()


def test_the_folder_of_locks_may_come_and_go_under_many(tmp_path: Path) -> None:
    def take_and_let_go(n: int) -> int:
        locks, taken = Locks(tmp_path / "locks"), 0
        for _ in range(1000):
            with locks.held(f"s{n}") as ours:
                taken += ours
        return taken

    with ThreadPoolExecutor(4) as four:
        assert list(four.map(take_and_let_go, range(4))) == [1000] * 4
    assert not (tmp_path / "locks").exists()


def test_what_was_damaged_is_fetched_again(take_store: TakeStore, tmp_path: Path) -> None:
    take_store.add("a", take(1))
    run(take_store, tmp_path)
    path = tmp_path / "a_v001.mp4"
    path.write_bytes(take(2))
    assert run(take_store, tmp_path).downloaded == 1
    assert path.read_bytes() == take(1)
    path.unlink()
    assert run(take_store, tmp_path).downloaded == 1


def test_a_broken_connection_goes_on_where_it_ended(take_store: TakeStore, tmp_path: Path) -> None:
    take_store.add("a", take(1, 4_000_000))
    take_store.cut_after = 2_500_000
    fetched = run(take_store, tmp_path)
    assert (fetched.clips, fetched.failed) == (1, [])
    assert len(take_store.ranges) == 1
    assert int(take_store.ranges[0][6:-1]) > 1_000_000
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1, 4_000_000)
    assert not (tmp_path / WORK_NAME).exists()


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_an_interrupted_fetch_goes_on_from_its_part(
    take_store: TakeStore, tmp_path: Path, ignores_ranges: bool
) -> None:
    take_store.add("a", take(1))
    take_store.ignores_ranges = ignores_ranges
    part_of(tmp_path, "a_v001", "mp4").write_bytes(take(1)[:3000])
    assert run(take_store, tmp_path).failed == []
    assert take_store.ranges == ([] if ignores_ranges else ["bytes=3000-"])
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)


@pytest.mark.parametrize("part", [take(9)[:3000], take(9), take(9, 9000)])
def test_a_part_of_something_else_is_no_take(
    take_store: TakeStore, tmp_path: Path, part: bytes
) -> None:
    take_store.add("a", take(1))
    part_of(tmp_path, "a_v001", "mp4").write_bytes(part)
    assert run(take_store, tmp_path).failed == []
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)


def test_a_flipped_bit_is_noticed(take_store: TakeStore, tmp_path: Path) -> None:
    take_store.add("a", take(1))
    take_store.flip = True
    assert run(take_store, tmp_path).failed == []
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)
    assert max(take_store.gets.values()) == 2


def test_expired_urls_are_asked_for_again(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(8):
        take_store.add(f"s{n}", take(n))
    asked = 0
    pages = take_store.pages

    def stale(batch_id: str, **query):
        nonlocal asked
        for page in pages(batch_id, **query):
            if query["with_urls"]:
                asked += 1
                if asked == 1:
                    take_store.generation += 1
            yield page

    fetched = fetch(stale, BATCH, tmp_path, lambda _progress: None)
    assert (fetched.clips, fetched.failed) == (8, [])
    assert asked <= 4


def test_what_cannot_be_had_is_told_and_the_rest_arrives(
    take_store: TakeStore, tmp_path: Path
) -> None:
    take_store.add("a", take(1))
    take_store.add("b", take(2))
    (tmp_path / "a_v001.mp4").write_bytes(b"my own file")
    fetched = run(take_store, tmp_path)
    assert fetched.clips == 1
    assert fetched.failed == [
        "a_v001.mp4: another file of this name is there already; move it away and fetch again"
    ]
    assert (tmp_path / "a_v001.mp4").read_bytes() == b"my own file"
    assert (tmp_path / "b_v001.mp4").read_bytes() == take(2)


def test_a_directory_is_one_batchs(take_store: TakeStore, tmp_path: Path) -> None:
    take_store.add("a", take(1))
    run(take_store, tmp_path)
    other = types.Batch(batch_id="c", name="other")
    with pytest.raises(FetchFailed, match="holds the takes of batch b: choose another"):
        fetch(take_store.pages, other, tmp_path, lambda _progress: None)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(FetchFailed, match="is not a list of fetched takes"):
        run(take_store, tmp_path)


def test_the_progress_adds_up(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(12):
        take_store.add(f"s{n}", take(n))
    last = []

    def show(progress: Progress) -> None:
        last[:] = [progress.files_done, progress.files, progress.bytes_done, progress.bytes]

    fetch(take_store.pages, BATCH, tmp_path, show)
    assert last[:2] == [24, 24]
    assert last[2] == last[3] == sum(map(len, take_store.objects.values()))


def test_ctrl_c_keeps_what_is_there(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(30):
        take_store.add(f"s{n}", take(n))
    pages = take_store.pages

    def interrupted(batch_id: str, **query):
        for page in pages(batch_id, **query):
            yield page
            if query["with_urls"]:
                raise AssertionError("a page is asked for alone")

    def second_page(batch_id: str, **query):
        if query["with_urls"] and query.get("page_token"):
            raise KeyboardInterrupt
        return interrupted(batch_id, **query)

    with pytest.raises(KeyboardInterrupt):
        fetch(second_page, BATCH, tmp_path, lambda _progress: None)
    assert len(manifest_of(tmp_path)["takes"]) == 10
    assert run(take_store, tmp_path).downloaded == 40


def test_a_manifest_of_earlier_versions_is_taken_over(
    take_store: TakeStore, tmp_path: Path
) -> None:
    take_store.add("a", take(1))
    run(take_store, tmp_path)
    (tmp_path / "manifest.json").write_text('{"batch_id": "b", "files": {}}')
    assert run(take_store, tmp_path).unchanged == 2
    assert [each["clip"] for each in manifest_of(tmp_path)["takes"]] == ["a"]


def reviewed(clip: types.Clip, verdict: types.Review.Verdict.ValueType) -> None:
    clip.review.CopyFrom(types.Review(verdict=verdict, reviewer="ann", note="ok"))


def test_a_take_that_was_rejected_since_stays_and_the_manifest_says_so(
    take_store: TakeStore, tmp_path: Path
) -> None:
    approved = ClipFilter(verdicts=[types.Review.VERDICT_APPROVED])
    for n in range(3):
        take_store.add(f"s{n}", take(n))
    for clip in take_store.clips[:2]:
        reviewed(clip, types.Review.VERDICT_APPROVED)
        clip.columns["Shot"] = clip.name
    fetched = fetch(take_store.pages, BATCH, tmp_path, lambda _progress: None, only=approved)
    assert fetched.clips == 2
    reviewed(take_store.clips[0], types.Review.VERDICT_REJECTED)
    fetched = fetch(take_store.pages, BATCH, tmp_path, lambda _progress: None, only=approved)
    assert (fetched.clips, fetched.downloaded) == (1, 0)
    takes = {each["clip"]: each for each in manifest_of(tmp_path)["takes"]}
    assert {name: each["review"] for name, each in takes.items()} == {
        "s0": "rejected", "s1": "approved",
    }  # fmt: skip
    assert (tmp_path / "s0_v001.mp4").exists()
    with (tmp_path / "manifest.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["clip"], row["review"], row["reviewer"], row["Shot"]) for row in rows] == [
        ("s0", "rejected", "ann", "s0"),
        ("s1", "approved", "ann", "s1"),
    ]


def test_takes_are_fetched_as_they_land(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(4):
        take_store.add(f"s{n}", take(n))
        if n:
            take_store.clips[n].state = types.CLIP_STATE_LEASED
    there: list[set[str]] = []

    def events() -> Iterator[pb.WatchResponse]:
        for clip in take_store.clips:
            clip.state = types.CLIP_STATE_DONE
            yield pb.WatchResponse(
                clip_id=clip.clip_id,
                clip_name=clip.name,
                from_state=types.CLIP_STATE_LEASED,
                to_state=types.CLIP_STATE_DONE,
                batch=BATCH,
            )
            there.append({path.stem for path in tmp_path.glob("*.mp4")})

    fetched = fetch(take_store.pages, BATCH, tmp_path, lambda _progress: None, events=events())
    assert [len(each) for each in there] == [1, 2, 3, 4]
    assert (fetched.clips, fetched.downloaded) == (4, 8)
    assert set(take_store.gets.values()) == {1}


def test_two_fetches_into_one_folder_share_the_work(take_store: TakeStore, tmp_path: Path) -> None:
    for n in range(40):
        take_store.add(f"s{n}", take(n, 200_000))
    with ThreadPoolExecutor(2) as both:
        results = list(both.map(lambda _n: run(take_store, tmp_path), range(2)))
    assert [each.failed for each in results] == [[], []]
    assert [each.clips for each in results] == [40, 40]
    assert sum(each.downloaded for each in results) == 80
    assert set(take_store.gets.values()) == {1}
    assert len(manifest_of(tmp_path)["takes"]) == 40
    assert not (tmp_path / WORK_NAME).exists()
