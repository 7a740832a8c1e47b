"""From a spreadsheet to verified takes on disk, by command line."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from farm.delivery.folder import WORK_NAME
from farm.domain.clip import ClipState
from farm.domain.names import folded
from tests.conftest import require_program
from tests.fixtures.farm import RealFarm
from tests.fixtures.oracle import check_farm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

COLUMNS = ("id", "prompt", "frames", "size", "fps", "seed", "shot")
ROWS = [
    ("one frame", "a red fox", "1", "64x64", "24", "1", "sh010"),
    ("one chunk", "a blue sea", "33", "128x64", "16", "2", "sh020"),
    ("and one more", "a green hill", "34", "64x64", "25", "3", "sh030"),
    ("five seconds", "a grey sky", "120", "128x64", "24", "4", "sh040"),
    ("été/日本", "“quoted”, with commas", "240", "64x64", "25", "9223372036854775807", "sh050"),
]


def write_csv(path: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(scope="module")
def batch_id(farm: RealFarm, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A batch that `farm submit --wait` has seen to its end."""
    file = write_csv(tmp_path_factory.mktemp("submit") / "shots.csv", ROWS)
    answer = json.loads(farm.cli("submit", file, "--wait", "--json").stdout)
    clips = answer["batch"]["clips"]
    assert clips["done"] == len(ROWS)
    return str(answer["batch"]["batch_id"])


@pytest.fixture(scope="module")
def fetched(farm: RealFarm, batch_id: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("takes")
    answer = json.loads(farm.cli("fetch", batch_id, directory, "--json").stdout)
    assert (answer["clips"], answer["downloaded"]) == (len(ROWS), 2 * len(ROWS))
    assert answer["failed"] == []
    return directory


def sidecars(directory: Path) -> dict[str, tuple[Path, dict]]:
    """Clip name → its sidecar's path and content."""
    found = {}
    for path in directory.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "clip_name" in content:
            found[content["clip_name"]] = (path, content)
    return found


def test_the_oracle_holds(farm: RealFarm, batch_id: str):
    verdict = check_farm(farm, batch_id, submitted=len(ROWS))
    assert verdict.states() == {ClipState.DONE: len(ROWS)}
    assert verdict.unreferenced == 0
    asked = {row[0]: row for row in ROWS}
    for row in verdict.clips.values():
        spec, want = row.spec, dict(zip(COLUMNS, asked[row.name], strict=True))
        assert str(spec.frames) == want["frames"]
        assert f"{spec.width}x{spec.height}" == want["size"]
        assert (str(spec.fps), str(spec.seed)) == (want["fps"], want["seed"])
        assert row.columns == {"shot": want["shot"]}


def test_fetched_takes_are_those_in_the_store(farm: RealFarm, batch_id: str, fetched: Path):
    found = sidecars(fetched)
    assert set(found) == {row[0] for row in ROWS}
    for path, sidecar in found.values():
        take = path.with_suffix(".mp4")
        assert hashlib.sha256(take.read_bytes()).hexdigest() == sidecar["take_sha256"]
        assert take.name.isprintable()
        assert not set(take.name) & set('<>:"/\\|?*')


@pytest.mark.parametrize("row", ROWS, ids=[row[2] for row in ROWS])
def test_takes_pass_ffprobe(fetched: Path, row: tuple[str, ...]):
    ffprobe = require_program("ffprobe")
    take = sidecars(fetched)[row[0]][0].with_suffix(".mp4")
    options = ["-v", "warning", "-count_frames", "-show_streams", "-show_packets", "-of", "json"]
    done = subprocess.run([ffprobe, *options, take], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    (stream,), packets, frames, fps = seen["streams"], seen["packets"], int(row[2]), int(row[4])
    assert int(stream["nb_frames"]) == int(stream["nb_read_frames"]) == frames
    assert Fraction(stream["r_frame_rate"]) == Fraction(stream["avg_frame_rate"]) == fps
    assert f"{stream['width']}x{stream['height']}" == row[3]
    names = ("color_range", "color_space", "color_transfer", "color_primaries")
    assert [stream[name] for name in names] == ["tv", "bt709", "bt709", "bt709"]
    assert packets[0]["pts"] == 0
    ends = [packet["pts"] + packet["duration"] for packet in packets]
    assert [packet["pts"] for packet in packets[1:]] == ends[:-1], "no gap and no overlap"
    assert ends[-1] * Fraction(stream["time_base"]) == Fraction(frames, fps)


def test_a_second_fetch_downloads_nothing(farm: RealFarm, batch_id: str, fetched: Path):
    answer = json.loads(farm.cli("fetch", batch_id, fetched, "--json").stdout)
    assert (answer["clips"], answer["downloaded"]) == (len(ROWS), 0)
    assert answer["unchanged"] == 2 * len(ROWS)


def test_a_fetch_goes_on_where_it_was_and_mends_what_changed(
    farm: RealFarm, batch_id: str, fetched: Path
):
    half, damaged, gone = [sidecars(fetched)[row[0]][0].with_suffix(".mp4") for row in ROWS[2:]]
    whole = {path: path.read_bytes() for path in (half, damaged, gone)}
    work = fetched / WORK_NAME
    key = hashlib.sha256(folded(half.stem).encode()).hexdigest()[:24]
    work.mkdir(exist_ok=True)
    part = work / f"{key}.mp4.part"
    part.write_bytes(whole[half][: len(whole[half]) // 2])
    half.unlink()
    damaged.write_bytes(whole[damaged][:-1] + b"!")
    gone.unlink()
    answer = json.loads(farm.cli("fetch", batch_id, fetched, "--json").stdout)
    assert (answer["downloaded"], answer["failed"]) == (3, [])
    assert {path: path.read_bytes() for path in whole} == whole
    assert not list(fetched.rglob("*.part"))


def test_a_directory_of_another_batch_is_left_alone(farm: RealFarm, fetched: Path, tmp_path: Path):
    other = farm.submit([{"id": "x", "prompt": "x", "frames": "1", "size": "64x64"}], "other")
    farm.wait_until_ended(other)
    before = {path: path.read_bytes() for path in fetched.iterdir()}
    done = farm.cli("fetch", other, fetched, code=1)
    assert "choose another directory" in done.stderr
    assert {path: path.read_bytes() for path in fetched.iterdir()} == before


def test_the_same_file_renders_the_same_again(farm: RealFarm, tmp_path: Path):
    """Without a seed of its own a row gets one from batch and row; it is recorded."""
    rows = [(name, f"prompt {name}") for name in "ab"]
    file = write_csv(tmp_path / "unseeded.csv", rows, ("id", "prompt"))
    options = ("--set", "frames=34", "--set", "size=64x64", "--wait", "--json")
    takes = []
    for _ in range(2):
        batch = json.loads(farm.cli("submit", file, *options).stdout)["batch"]["batch_id"]
        verdict = check_farm(farm, batch, submitted=2)
        takes.append(verdict.takes)
        seeds = {row.name: row.spec.seed for row in verdict.clips.values()}
        digests = {n: hashlib.sha256(f"unseeded/{n}".encode()).digest() for n in "ab"}
        assert seeds == {n: int.from_bytes(digest[:4]) for n, digest in digests.items()}
    assert takes[0] == takes[1]


def test_one_submission_made_twice_is_one_batch(farm: RealFarm, tmp_path: Path):
    file = write_csv(tmp_path / "twice.csv", ROWS[:1])
    first, second = [
        json.loads(farm.cli("submit", file, "--request-id", "the same", "--json").stdout)
        for _ in range(2)
    ]
    assert first["batch"]["batch_id"] == second["batch"]["batch_id"]
    assert (first["repeated"], second["repeated"]) == (False, True)
    other = write_csv(tmp_path / "other.csv", ROWS[1:2])
    farm.cli("submit", other, "--request-id", "the same", code=2)
