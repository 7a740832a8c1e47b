"""Files of this machine go to the farm with the submission that names them, once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm, InputOptions, Refused
from farm.client.fetch import Progress
from farm.client.local_files import CACHE_NAME
from farm.domain.inputs import INPUT_BYTES_MAX
from farm.domain.roots import Root
from farm.gateway.inputs import PART_BYTES
from farm.gateway.settings import GatewaySettings
from farm.objects.s3 import S3ObjectStore
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures

FOX, CAT = b"a picture of a fox", b"a picture of a cat"


@pytest.fixture
def running(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> Iterator[RunningFarm]:
    (tmp_path / "farm").mkdir()
    settings = GatewaySettings(
        api_token=TOKEN,
        bucket=object_store.settings.bucket,
        inputs=("/nodes",),
        roots=(Root(name="show", linux=str(tmp_path / "mnt" / "show"), windows="P:\\show"),),
    )
    running = RunningFarm(tmp_path / "farm", objects=object_store, settings=settings)
    yield running
    running.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder with plates that were written a while ago."""
    folder = tmp_path / "shots"
    for name, data in (("a.png", FOX), ("b.PNG", CAT), ("again.png", FOX)):
        write(folder / "plates" / name, data)
    return folder


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    settle(path)
    return path


def settle(path: Path) -> None:
    """Let a file be old enough for its hash to be remembered."""
    at = time.time() - 60
    os.utime(path, (at, at))


def table(folder: Path, *cells: str, column: str = "image") -> Path:
    lines = [f"p,{cell}" for cell in cells]
    path = folder / "f.csv"
    path.write_text("\n".join([f"prompt,{column}", *lines]) + "\n")
    return path


class Watched:
    """Options of a test, and what was told of their progress."""

    def __init__(self, cache: Path) -> None:
        self.seen: list[tuple[str, Progress]] = []
        self.options = InputOptions(cache=cache, on_progress=self.show)

    def show(self, what: str, progress: Progress) -> None:
        self.seen.append((what, replace(progress)))

    @property
    def what(self) -> set[str]:
        return {what for what, _ in self.seen}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "cache")


def places(farm: Farm, name: str = "f") -> list[str]:
    return [clip.spec.image or clip.spec.video for clip in farm.clips(name)]


def keys(store: S3ObjectStore) -> set[str]:
    return {info.key for info in store.list("")}


def key_of(data: bytes, ext: str = "png") -> str:
    return f"default/inputs/{hashlib.sha256(data).hexdigest()}.{ext}"


class TestSending:
    def test_each_file_is_sent_once_and_hashed_once(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        cells = ["plates/a.png", f"{shots}/plates/b.PNG", "plates/again.png", "/nodes/x.png", ""]
        farm.submit(table(shots, *cells), inputs=watched.options)
        bucket = f"s3://{object_store.settings.bucket}/"
        fox, cat = bucket + key_of(FOX), bucket + key_of(CAT)
        assert places(farm) == [fox, cat, fox, "/nodes/x.png", ""]
        assert keys(object_store) == {key_of(FOX), key_of(CAT)}
        assert object_store.get(key_of(CAT)) == CAT
        assert watched.what == {"hashing", "sending"}
        last = [progress for what, progress in watched.seen if what == "sending"][-1]
        assert (last.files, last.files_done, last.bytes) == (2, 2, len(FOX) + len(CAT))
        watched.seen.clear()
        farm.submit(table(shots, *cells), name="g", inputs=watched.options)
        assert places(farm, "g") == places(farm)
        assert watched.what == set()

    def test_a_file_that_changed_since_is_hashed_again(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        farm.submit(table(shots, "plates/a.png"), inputs=watched.options)
        (shots / "plates" / "a.png").write_bytes(CAT)
        farm.submit(table(shots, "plates/a.png"), name="g", inputs=watched.options)
        assert places(farm, "g") == [f"s3://{object_store.settings.bucket}/{key_of(CAT)}"]
        # One that was written a moment ago may change again within the same tick of its clock.
        cached = json.loads((watched.options.cache / CACHE_NAME).read_text())
        assert hashlib.sha256(CAT).hexdigest() not in json.dumps(cached)

    def test_a_broken_cache_is_no_cache(self, farm: Farm, shots: Path, watched: Watched) -> None:
        assert watched.options.cache
        write(watched.options.cache / CACHE_NAME, b'{"part_bytes": 16777216, "files": [1]}')
        farm.submit(table(shots, "plates/a.png"), inputs=watched.options)
        assert watched.what == {"hashing", "sending"}

    def test_a_value_for_all_rows_and_a_programs_rows_are_sent_too(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        fixed = {"Image": "plates/a.png"}
        farm.submit(table(shots, "", column="x"), set_fields=fixed, inputs=watched.options)
        rows = [{"prompt": "a", "start": str(shots / "plates" / "b.PNG")}]
        mapped = {"start": "image"}
        farm.submit(rows, name="rows", column_map=mapped, inputs=watched.options)
        bucket = f"s3://{object_store.settings.bucket}/"
        assert places(farm) == [bucket + key_of(FOX)]
        assert places(farm, "rows") == [bucket + key_of(CAT)]

    def test_a_large_file_goes_on_where_it_was(
        self,
        farm: Farm,
        shots: Path,
        tmp_path: Path,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        data = b"".join(bytes([n]) * PART_BYTES for n in range(3)) + b"the end"
        write(shots / "long.mov", data)
        file = table(shots, "long.mov", column="video")
        first = Watched(tmp_path / "cache")

        def killed(what: str, progress: Progress) -> None:
            if what == "sending" and progress.bytes_done > PART_BYTES + (1 << 20):
                raise KeyboardInterrupt
            first.show(what, progress)

        with pytest.raises(KeyboardInterrupt):
            farm.submit(file, inputs=replace(first.options, on_progress=killed))
        (upload,) = object_store.uploads("")
        there = object_store.uploaded_parts(upload)
        assert list(farm.list()) == []
        second = Watched(tmp_path / "cache")
        farm.submit(file, inputs=second.options)
        assert second.what == {"sending"}
        assert second.seen[0][1].bytes_done == sum(part.size_bytes for part in there.values())
        assert object_store.get(key_of(data, "mov")) == data
        assert list(object_store.uploads("")) == []


class TestNotSending:
    def test_a_dry_run_sends_nothing(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        done = farm.submit(table(shots, "plates/a.png"), dry_run=True, inputs=watched.options)
        assert (done.batch, done.clips) == (None, 1)
        assert "sending" not in watched.what
        assert keys(object_store) == set()

    def test_nothing_is_sent_for_a_batch_that_is_refused(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        file = table(shots, "plates/a.png")
        for more in ({"set_fields": {"fps": "0"}}, {"project": "nobody"}):
            with pytest.raises(Refused):
                farm.submit(file, inputs=watched.options, **more)
        assert keys(object_store) == set()

    def test_all_problems_come_at_once_each_at_its_cell(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        write(shots / "empty.png", b"")
        with (shots / "huge.mov").open("wb") as stream:
            stream.truncate(INPUT_BYTES_MAX + 1)
        os.mkfifo(shots / "pipe")
        cells = ["plates", "nothing.png", "empty.png", "huge.mov", "pipe", "plates/a.png"]
        file = table(shots, *cells, "/elsewhere/a.png", "nothing.png", "shwo:/a.png")
        with pytest.raises(Refused) as refused:
            farm.submit(file, set_fields={"mode": "image_to_video"}, inputs=watched.options)
        found = [(p.row, p.column, p.what) for p in refused.value.problems]
        most = INPUT_BYTES_MAX
        assert found == [
            (2, "image", '"plates" is a directory'),
            (3, "image", 'there is no file "nothing.png" here'),
            (4, "image", '"empty.png" is empty'),
            (5, "image", f'"huge.mov" has {most + 1} bytes and {most} are taken'),
            (6, "image", '"pipe" is no file'),
            (8, "image", '"/elsewhere/a.png" is not below /nodes'),
            (9, "image", 'there is no file "nothing.png" here'),
            (10, "image", 'the farm has no root "shwo"'),
        ]
        assert keys(object_store) == set()

    def test_a_file_that_changes_meanwhile_is_said_at_its_cell(
        self,
        farm: Farm,
        shots: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        def write_on(what: str, _progress: Progress) -> None:
            if what == "sending":
                (shots / "plates" / "b.PNG").write_bytes(b"another")

        options = replace(watched.options, on_progress=write_on)
        with pytest.raises(Refused) as refused:
            farm.submit(table(shots, "plates/a.png", "plates/b.PNG"), inputs=options)
        (problem,) = refused.value.problems
        assert (problem.row, problem.column) == (3, "image")
        assert problem.what.endswith("changed while it was read")
        assert list(farm.list()) == []

    def test_files_below_a_root_stay_where_they_are(
        self,
        farm: Farm,
        shots: Path,
        tmp_path: Path,
        watched: Watched,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        plate = write(tmp_path / "mnt" / "show" / "plates" / "sh010.png", FOX)
        cells = [str(plate), "P:\\show\\plates\\sh010.png", "show:/plates/sh010.png"]
        cells += [f"../mnt/show/plates/{plate.name}", "/Volumes/s/plates/sh010.png"]
        mac = Root(name="show", macos="/Volumes/s", linux=str(tmp_path / "mnt" / "show"))
        farm.submit(table(shots, *cells[:3]), inputs=watched.options)
        options = replace(watched.options, roots=(mac,))
        farm.submit(table(shots, *cells[3:]), name="mac", inputs=options)
        assert places(farm) == ["show:/plates/sh010.png"] * 3
        assert places(farm, "mac") == ["show:/plates/sh010.png"] * 2
        assert keys(object_store) == set()


class TestCommand:
    @pytest.fixture(autouse=True)
    def _settings(
        self, running: RunningFarm, shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
        monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(shots)

    def farm_(self, *arguments: str, code: int = 0):
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    def test_files_are_sent(
        self,
        farm: Farm,
        shots: Path,
        tmp_path: Path,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        table(shots, "plates/a.png", "plates/b.PNG")
        assert self.farm_("submit", "f.csv").stderr == ""
        assert keys(object_store) == {key_of(FOX), key_of(CAT)}
        assert (tmp_path / "cache" / "heliostat" / CACHE_NAME).exists()

    def test_or_not(
        self,
        farm: Farm,
        shots: Path,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        table(shots, "/nodes/a.png")
        self.farm_("submit", "f.csv", "--no-upload")
        table(shots, "plates/a.png")
        done = self.farm_("submit", "f.csv", "--no-upload", code=2)
        assert done.stderr.startswith("f.csv:2:image: ")
        assert "is not below /nodes" in done.stderr
        self.farm_("submit", "f.csv", "--dry-run")
        assert keys(object_store) == set()

    def test_roots_of_the_clients_own_settings(
        self, farm: Farm, shots: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HELIOSTAT_ROOTS", '{"show": {"linux": "/net/s"}}')
        table(shots, "/net/s/plates/a.png")
        self.farm_("submit", "f.csv")
        assert places(farm) == ["show:/plates/a.png"]
        monkeypatch.setenv("HELIOSTAT_ROOTS", '{"show": {"linux": "net"}}')
        done = self.farm_("submit", "f.csv", code=2)
        assert "HELIOSTAT_ROOTS" in done.stderr
        assert "'net' is no absolute path of linux" in done.stderr
