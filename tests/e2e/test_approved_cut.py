"""Of 200 rendered shots the 40 that were approved are what is fetched and what is in the cut."""

from __future__ import annotations

import json
from pathlib import Path

import opentimelineio as otio
import pytest

from tests.e2e.test_submit_to_takes import sidecars, write_csv
from tests.fixtures.farm import RealFarm
from tests.media.test_films import probe
from tests.media.test_timelines import files_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATE = 25
FRAMES = {f"sh{n:03}": 5 + n % 9 for n in range(200)}
PICKED = list(FRAMES)[3::5]


@pytest.fixture(scope="module")
def batch_id(farm: RealFarm, tmp_path_factory: pytest.TempPathFactory) -> str:
    """200 takes, of which 40 are approved and 40 rejected by a column of the spreadsheet."""
    picks = {name: "yes" if name in PICKED else "no" for name in list(FRAMES)[2:]}
    rows = [
        (name, f"shot {name}", str(frames), "64x64", str(RATE), "7", picks.get(name, ""))
        for name, frames in FRAMES.items()
    ]
    columns = ("id", "prompt", "frames", "size", "fps", "seed", "Pick")
    file = write_csv(tmp_path_factory.mktemp("submit") / "200.csv", rows, columns)
    batch = json.loads(farm.cli("submit", file, "--wait", "--json").stdout)["batch"]
    assert batch["clips"]["done"] == 200
    farm.cli("approve", batch["batch_id"], "--takes", "--where", "pick=yes", "--note", "final")
    said = farm.cli("reject", batch["batch_id"], "--takes", "--where", "pick=no")
    assert "158 takes rejected, 2 to review, 40 approved" in said.stdout
    return str(batch["batch_id"])


@pytest.fixture(scope="module")
def fetched(farm: RealFarm, batch_id: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("approved")
    answer = json.loads(farm.cli("fetch", batch_id, directory, "--approved", "--json").stdout)
    assert (answer["clips"], answer["downloaded"], answer["failed"]) == (40, 80, [])
    return directory


@pytest.fixture(scope="module")
def frames(fetched: Path) -> dict[Path, int]:
    """Each film's frames, as ffprobe counts them; their rate is as it should be."""
    streams = {film: probe(film) for film in fetched.rglob("*.mp4")}
    assert {stream["r_frame_rate"] for stream in streams.values()} == {f"{RATE}/1"}
    return {film: int(stream["nb_read_frames"]) for film, stream in streams.items()}


def test_exactly_those_are_fetched(fetched: Path) -> None:
    assert sorted(sidecars(fetched)) == PICKED
    assert len(list(fetched.rglob("*.mp4"))) == 40
    takes = json.loads((fetched / "manifest.json").read_text(encoding="utf-8"))["takes"]
    assert [take["clip"] for take in takes] == PICKED
    assert {(take["review"], take["note"]) for take in takes} == {("approved", "final")}


@pytest.mark.parametrize("ending", [".otio", ".xml", ".edl"])
def test_the_cut_opens_with_every_file_its_duration_and_its_rate(
    farm: RealFarm, fetched: Path, frames: dict[Path, int], ending: str
) -> None:
    path = fetched / f"cut{ending}"
    farm.cli("timeline", fetched, "--out", path, "--approved")
    # An EDL does not say its rate, whoever opens it has to.
    options = {"rate": RATE} if ending == ".edl" else {}
    cut = otio.adapters.read_from_file(str(path), **options)
    clips = list(cut.find_clips())
    assert [clip.name for clip in clips] == [f"{name} v001" for name in PICKED]
    counts = [frames[film.resolve()] for film in files_of(cut, path)]
    assert counts == [FRAMES[name] for name in PICKED]
    time = otio.opentime.RationalTime
    whole = [otio.opentime.TimeRange(time(0, RATE), time(count, RATE)) for count in counts]
    assert [clip.trimmed_range() for clip in clips] == whole
    assert cut.duration() == time(sum(counts), RATE)
    if ending != ".edl":
        assert [clip.media_reference.available_range for clip in clips] == whole
