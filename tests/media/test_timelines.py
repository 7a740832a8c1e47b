"""A batch becomes a cut that opens with every file found, and a cut a batch of its empty shots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import pytest

from farm.client.submission import check_file
from farm.media.cut import empty_shots
from farm.media.errors import BadDelivery
from farm.media.timeline import reel_names
from tests.media.conftest import Folder
from tests.media.test_films import probe
from tests.media.test_pictures import farm_

RATE = 24


def files_of(cut: Any, path: Path) -> list[Path]:
    """Where each clip's file is, as a reader finds it."""
    urls = [urlsplit(clip.media_reference.target_url) for clip in cut.find_clips()]
    return [path.parent / unquote(url.path) for url in urls]


@pytest.mark.parametrize("ending", [".otio", ".xml", ".edl"])
def test_approved_takes_make_a_cut_that_opens_whole(folder: Folder, ending: str) -> None:
    for n in range(1, 201):
        review = "approved" if n % 5 == 0 else "rejected" if n % 5 == 1 else ""
        if n <= 3 or review == "approved":
            folder.add(f"sh é {n:03}", frames=9 + n % 3, review=review)
    path = folder.path / "edit" / f"cut{ending}"
    said = farm_("timeline", folder.path, "--out", path, "--approved", "--handles", 2)
    assert "40 clips" in said
    cut = otio.adapters.read_from_file(str(path))
    clips = list(cut.find_clips())
    assert [clip.name for clip in clips] == [f"sh é {n:03} v001" for n in range(5, 201, 5)]
    films = files_of(cut, path)
    assert all(film.is_file() for film in films)
    frames = [9 + n % 3 for n in range(5, 201, 5)]
    time, span = otio.opentime.RationalTime, otio.opentime.TimeRange
    assert [clip.trimmed_range() for clip in clips] == [
        span(time(2, RATE), time(count - 4, RATE)) for count in frames
    ]
    assert cut.duration() == time(sum(frames) - 4 * 40, RATE)
    stream = probe(films[0])
    assert (stream["r_frame_rate"], stream["nb_read_frames"]) == (f"{RATE}/1", str(frames[0]))
    if ending != ".edl":
        available = [clip.media_reference.available_range for clip in clips]
        assert available == [span(time(0, RATE), time(count, RATE)) for count in frames]
        assert cut.global_start_time == time(3600 * RATE, RATE)


def test_a_cut_has_the_latest_approved_version_and_says_what_it_is(folder: Folder) -> None:
    folder.add("a", version=1, review="approved", seed=1)
    folder.add("a", version=2, review="approved", seed=2, columns={"shot": "sh010"})
    folder.add("a", version=3, review="rejected", seed=3)
    path = folder.path / "cut.otio"
    farm_("timeline", folder.path, "--out", path, "--approved")
    (clip,) = otio.adapters.read_from_file(str(path)).find_clips()
    assert clip.media_reference.target_url == "a_v002.mp4"
    about = clip.metadata["heliostat"]
    assert (about["clip_id"], about["version"], about["seed"]) == ("b-00002", 2, 2)
    assert dict(about["columns"]) == {"shot": "sh010"}


def test_reels_of_an_edl_are_eight_letters_each_once() -> None:
    names = ["sh010 long name v001", "sh010 long name v002", "SH010-LON", "猫", "狗", "a"]
    reels = reel_names(names)
    assert reels == ["SH010_LO", "SH010__2", "SH010__3", "R4", "R5", "A"]


def test_what_cannot_be_a_cut_is_refused(folder: Folder) -> None:
    folder.add("a")
    assert "ends in .otio, .xml, .edl" in farm_("timeline", folder.path, "--out", "c.aaf", code=1)
    out = folder.path / "c.edl"
    assert "no approved takes" in farm_("timeline", folder.path, "--out", out, "--approved", code=1)
    folder.add("b", fps=25)
    said = farm_("timeline", folder.path, "--out", out, code=1)
    assert "an EDL has one rate, these takes have 24, 25; use .otio" in said
    assert not out.exists()


def time(frames: float, rate: float = RATE) -> Any:
    return otio.opentime.RationalTime(frames, rate)


def span(frames: float, rate: float = RATE) -> Any:
    return otio.opentime.TimeRange(time(0, rate), time(frames, rate))


def shot(name: str, frames: int, rate: float = RATE, **more: Any) -> Any:
    """A clip without media."""
    return otio.schema.Clip(name=name, source_range=span(frames, rate), **more)


def filled(name: str, frames: int, url: str = "there.mov") -> Any:
    media = otio.schema.ExternalReference(target_url=url, available_range=span(frames))
    return otio.schema.Clip(name=name, source_range=span(frames), media_reference=media)


def cut_of(path: Path, *tracks: list[Any]) -> Path:
    cut = otio.schema.Timeline(name="cut", global_start_time=time(3600 * RATE))
    for number, items in enumerate(tracks, 1):
        cut.tracks.append(otio.schema.Track(name=f"V{number}", children=items))
    otio.adapters.write_to_file(cut, str(path))
    return path


def test_a_cut_makes_a_batch_of_its_empty_shots(tmp_path: Path) -> None:
    marked = shot("sh020", 30)
    marked.markers.append(otio.schema.Marker(name="todo", marked_range=span(1)))
    marked.markers[0].comment = "The fox lifts: its head"
    path = cut_of(
        tmp_path / "cut.otio",
        [
            shot("sh010", 40, metadata={"heliostat": {"prompt": "A red fox"}}),
            filled("sh015", 24),
            marked,
            otio.schema.Gap(source_range=span(12)),
            shot("sh010", 33, metadata={"cmx_3600": {"comments": ["noted", "twice"]}}),
        ],
        [otio.schema.Gap(source_range=span(64)), shot("over", 8)],
    )
    out = tmp_path / "shots.yaml"
    answer = json.loads(farm_("batch-from-cut", path, "--out", out, "--handles", 4, "--json"))
    rows = [
        (each["name"], each["prompt"], each["frames"], each["track"], each["at"])
        for each in answer["shots"]
    ]
    assert rows == [
        ("sh010", "A red fox", 48, "V1", "01:00:00:00"),
        ("sh020", "The fox lifts: its head", 38, "V1", "01:00:02:16"),
        ("V1_004", "", 20, "V1", "01:00:03:22"),
        ("sh010_2", "noted twice", 41, "V1", "01:00:04:10"),
        ("over", "", 16, "V2", "01:00:02:16"),
    ]
    assert (answer["filled"], answer["without_prompt"]) == (1, ["V1_004", "over"])
    checked = check_file(out, {})
    assert [row for row in checked.problems if row.row not in (3, 5)] == []
    assert checked.rows == 5


def test_shots_without_a_prompt_are_named_when_they_are_submitted(tmp_path: Path) -> None:
    out = tmp_path / "shots.yaml"
    said = farm_("batch-from-cut", cut_of(tmp_path / "c.otio", [shot("a", 33)]), "--out", out)
    assert "1 shot without a prompt: a" in said
    (row,) = (row for _, row in check_file(out, {}).source.rows())
    assert row == {
        "id": "a", "frames": "33", "fps": "24", "cut_track": "V1", "cut_at": "01:00:00:00",
        "handle_in": "0", "handle_out": "0",
    }  # fmt: skip


def test_transitions_ask_for_more_frames_and_effects_are_noted(tmp_path: Path) -> None:
    slow = shot("b", 30)
    slow.effects.append(otio.schema.LinearTimeWarp(name="slow", time_scalar=0.5))
    dissolve = otio.schema.Transition(name="dissolve", in_offset=time(5), out_offset=time(7))
    found = empty_shots(cut_of(tmp_path / "c.otio", [shot("a", 20), dissolve, slow]))
    frames = [(each.frames, each.handle_in, each.handle_out) for each in found.shots]
    assert frames == [(27, 0, 7), (35, 5, 0)]
    assert found.notes == [
        "track V1, 'a': 7 frames more for its transitions",
        "track V1, 'b': 5 frames more for its transitions",
        "track V1, 'b': the effect LinearTimeWarp is left to the edit",
    ]


def test_a_nested_stack_with_an_empty_shot_is_refused_by_name(tmp_path: Path) -> None:
    inner = otio.schema.Track(name="inner", children=[shot("deep", 20)])
    stack = otio.schema.Stack(name="comp", children=[inner])
    path = cut_of(tmp_path / "c.otio", [shot("a", 20), stack])
    said = farm_("batch-from-cut", path, "--out", tmp_path / "s.yaml", code=1)
    assert "track V1, 'comp': a nested stack holds the empty shots deep; flatten it" in said
    assert not (tmp_path / "s.yaml").exists()


def test_a_nested_sequence_that_has_its_media_is_passed_by(tmp_path: Path) -> None:
    inner = otio.schema.Track(name="scene", children=[filled("deep", 20)])
    found = empty_shots(cut_of(tmp_path / "c.otio", [inner, shot("a", 20)]))
    assert [each.name for each in found.shots] == ["a"]
    assert (found.filled, found.notes) == (
        1,
        ["track V1, 'scene': nested, and all of it has media"],
    )


def test_a_rate_of_its_own_is_told(tmp_path: Path) -> None:
    found = empty_shots(cut_of(tmp_path / "c.otio", [shot("a", 20, 24000 / 1001)]))
    assert [(each.frames, each.fps) for each in found.shots] == [(20, 24)]
    assert "the cut runs at 23.976 fps" in found.notes[0]


def test_lost_files_count_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "is here.mov").write_bytes(b"")
    path = cut_of(
        tmp_path / "c.otio", [filled("a", 20, "is%20here.mov"), filled("b", 20, "file:/gone.mov")]
    )
    assert empty_shots(path).shots == []
    assert [each.name for each in empty_shots(path, lost_files=True).shots] == ["b"]
    said = farm_("batch-from-cut", path, "--out", tmp_path / "s.yaml", code=1)
    assert "the cut has no empty shots (2 have their media)" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.otio", "no json"),
        ("a.otio", "{}"),
        ("a.otio", '{"OTIO_SCHEMA": "Clip.1"}'),
        ("a.xml", "<xmeml"),
        ("a.xml", "<xmeml version='4'/>"),
        ("a.edl", "001  AX V C 99:99:99:99 0 0 0"),
        ("a.aaf", "x"),
    ],
)
def test_what_is_no_cut_is_refused_without_a_traceback(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadDelivery, match=r"it cannot be read|and not one timeline"):
        empty_shots(tmp_path / name)


@pytest.mark.parametrize("ending", [".otio", ".xml"])
def test_a_cut_goes_out_and_comes_back(folder: Folder, ending: str) -> None:
    for name in ("a", "b"):
        folder.add(name, frames=33)
    path = folder.path / f"cut{ending}"
    farm_("timeline", folder.path, "--out", path)
    assert empty_shots(path, lost_files=True).shots == []
    (folder.path / "b_v001.mp4").unlink()
    found = empty_shots(path, lost_files=True)
    assert [(each.name, each.frames, each.fps) for each in found.shots] == [("b v001", 33, 24)]
