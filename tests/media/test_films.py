"""Renditions and review copies are what was asked for, as ffprobe sees it; takes stay."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm.media.films import frames_of, picture_at
from farm.media.times import frames_at, rate_of, timecode_at
from node_agent.film import CODECS, FilmWriter
from tests.media.conftest import HEIGHT, WIDTH, Folder
from tests.media.test_pictures import RED, farm_, near


def probe(path: Path) -> dict[str, Any]:
    """What ffprobe says of the picture; every frame is decoded and counted."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)["streams"][0]
    return found


def is_bt709(stream: dict[str, Any]) -> bool:
    names = ("color_space", "color_transfer", "color_primaries")
    return {stream[name] for name in names} == {"bt709"} and stream["color_range"] == "tv"


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt", "ending"),
    [
        ("prores", "prores", "yuv422p10le", ".mov"),
        ("h264", "h264", "yuv420p", ".mp4"),
        ("h265", "hevc", "yuv420p10le", ".mp4"),
        ("av1", "av1", "yuv420p10le", ".mp4"),
    ],
)
def test_a_rendition_has_what_was_asked_for(
    folder: Folder, codec: str, name: str, pix_fmt: str, ending: str
) -> None:
    folder.add("a", frames=33)
    before, out = folder.hashes(), folder.path / "out"
    options = ("--size", "320x180", "--fps", 25, "--handles", 8, "--start-timecode", "01:00:00:00")
    said = farm_("rendition", folder.path, "--out", out, "--codec", codec, *options)
    assert "33 frames, 320x180, 25 fps (+4.2% in speed), from the take (second generation)" in said
    stream = probe(out / f"a_v001{ending}")
    assert (stream["codec_name"], stream["pix_fmt"]) == (name, pix_fmt)
    assert (stream["width"], stream["height"]) == (320, 180)
    assert (stream["r_frame_rate"], stream["nb_read_frames"]) == ("25/1", "33")
    assert stream["tags"]["timecode"] == "00:59:59:17"
    assert is_bt709(stream)
    assert near(picture_at(out / f"a_v001{ending}", 16, (32, 32)).getpixel((16, 16)), (200, 30, 60))
    assert folder.hashes() == before


def test_pictures_are_numbered_from_1001(folder: Folder) -> None:
    folder.add("a", colour=RED)
    farm_("rendition", folder.path, "--out", folder.path / "out", "--codec", "png")
    pictures = sorted((folder.path / "out" / "a_v001").iterdir())
    assert [path.name for path in pictures] == [f"a_v001.{n}.png" for n in range(1001, 1010)]
    with Image.open(pictures[4]) as picture:
        assert picture.size == (WIDTH, HEIGHT)
        assert near(picture.getpixel((60, 30)), RED)
    again = farm_("rendition", folder.path, "--out", folder.path / "out", "--codec", "png", code=1)
    assert "is there: remove it, or choose another --out" in again


def test_another_shape_is_cropped_or_padded(folder: Folder) -> None:
    folder.add("a", colour=(240, 240, 240))
    for fit, corner in (("crop", True), ("pad", False)):
        out = folder.path / fit
        farm_("rendition", folder.path, "--out", out, "--size", "90x160", "--fit", fit)
        film = out / "a_v001.mov"
        stream = probe(film)
        assert (stream["width"], stream["height"]) == (90, 160)
        picture = picture_at(film, 4, (90, 160))
        assert (picture.getpixel((45, 4))[0] > 200) is corner
        assert picture.getpixel((45, 80))[0] > 200


@pytest.mark.parametrize(("retime", "frames"), [("conform", 24), ("nearest", 50), ("blend", 50)])
def test_another_rate_keeps_the_frames_or_the_speed(
    folder: Folder, retime: str, frames: int
) -> None:
    folder.add("a", frames=24)
    out = folder.path / "out"
    farm_("rendition", folder.path, "--out", out, "--fps", 50, "--retime", retime)
    stream = probe(out / "a_v001.mov")
    assert stream["r_frame_rate"] == "50/1"
    assert abs(int(stream["nb_read_frames"]) - frames) <= (0 if retime == "conform" else 1)


def test_the_negatives_are_taken_where_they_are_decoded(folder: Folder) -> None:
    take = folder.add("a", frames=9)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (9, HEIGHT, WIDTH, 3), dtype=np.uint8)
    with FilmWriter(take.with_suffix(".mkv"), CODECS["ffv1"], fps=24) as master:
        master.add(frames)
    out = folder.path / "out"
    said = farm_("rendition", folder.path, "--out", out, "--codec", "png")
    assert "from the negatives" in said
    for number, frame in enumerate(frames):
        with Image.open(out / "a_v001" / f"a_v001.{1001 + number}.png") as picture:
            assert np.array_equal(np.asarray(picture), frame)
    farm_("rendition", folder.path, "--out", out, "--codec", "h264", "--crf", 0)
    assert is_bt709(probe(out / "a_v001.mp4"))
    seen = picture_at(out / "a_v001.mp4", 4, (WIDTH, HEIGHT))
    assert abs(np.asarray(seen, float).mean() - frames[4].mean()) < 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--size", "99x100"), "even sides of 16 to 8192"),
        (("--size", "hd"), "write it as 1920x1080"),
        (("--fps", "0"), "1 to 240 can be had"),
        (("--fps", "fast"), "is no frame rate"),
        (("--crf", "20"), "prores has no such number"),
        (("--codec", "av1", "--crf", "64"), "av1 takes 0 to 63"),
        (("--codec", "png", "--start-timecode", "01:00:00:00"), "png files hold none"),
        (("--handles", "5"), "a v001 has 9 frames, nothing is left"),
        (("--start-timecode", "01:00:00;00"), "drop-frame timecode is not written"),
        (("--start-timecode", "01:00:00:24"), "at 24 fps, up to 23:59:59:23"),
        (("--start-timecode", "now"), "is no timecode"),
        (("--negatives",), "no negatives there; `farm reels` brings them"),
    ],
)
def test_what_cannot_be_made_is_refused(
    folder: Folder, options: tuple[str, ...], says: str
) -> None:
    folder.add("a")
    assert says in farm_("rendition", folder.path, "--out", folder.path / "o", *options, code=1)
    assert not list((folder.path / "o").rglob("*"))


def test_a_take_is_never_written_over(folder: Folder) -> None:
    folder.add("a")
    before = folder.hashes()
    said = farm_("rendition", folder.path, "--out", folder.path, "--codec", "h264", code=1)
    assert "is the take itself" in said
    assert folder.hashes() == before


def test_a_take_that_is_cut_short_makes_no_rendition(folder: Folder) -> None:
    whole = folder.add("a", frames=33)
    short = folder.add("b", frames=9)
    whole.write_bytes(short.read_bytes())
    out = folder.path / "out"
    said = farm_("rendition", folder.path, "--out", out, code=1)
    assert "a_v001.mp4 holds 9 of 33 frames" in said
    assert not list(out.rglob("*"))


def test_a_review_copy_has_slate_and_burn_in_and_leaves_the_take_alone(folder: Folder) -> None:
    folder.add("a", frames=33, colour=RED)
    before = folder.hashes()
    farm_("review-copy", folder.path, "--slate", 1)
    copy = folder.path / "review" / "a_v001_review.mp4"
    stream = probe(copy)
    assert (stream["width"], stream["height"]) == (1440, 720)
    assert (stream["r_frame_rate"], stream["nb_read_frames"]) == ("24/1", "57")
    assert stream["tags"]["timecode"] == "00:59:59:00"
    assert is_bt709(stream)
    frames = [frame.to_ndarray(format="rgb24") for frame in frames_of(copy, [])]
    assert (frames[0][:200] > 200).any()  # the slate's writing
    assert near(tuple(frames[24 + 16][360, 720]), RED)
    corner = np.s_[640:, 1100:]  # the timecode's
    assert (frames[24 + 16][corner].min(axis=2) > 200).any()
    assert not np.array_equal(frames[24 + 3][corner], frames[24 + 4][corner])
    assert folder.hashes() == before


def test_timecodes_count_whole_frames() -> None:
    assert frames_at("01:00:00:00", Fraction(25)) == 90_000
    assert timecode_at(90_000 - 8, Fraction(25)) == "00:59:59:17"
    assert timecode_at(-1, Fraction(24)) == "23:59:59:23"
    assert rate_of("23.976") == rate_of("24000/1001") == Fraction(24000, 1001)
    assert frames_at("00:00:01:00", rate_of("23.976")) == 24
