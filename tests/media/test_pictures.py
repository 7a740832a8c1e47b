"""Sheets and previews show every take, where and as its row or wedge says."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont
from typer.testing import CliRunner

from farm.cli.app import app
from farm.media.errors import BadDelivery, MissingExtra, extra
from farm.media.sheet import MARGIN, Look, contact_sheet
from farm.media.takes import takes_of
from farm.media.text import fitting, unwritable
from farm.media.wedges import grids
from tests.media.conftest import Folder

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)


def farm_(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(image.convert("RGB").getpixel((x, y)))


def near(found: tuple[int, ...], wanted: tuple[int, int, int]) -> bool:
    return int(np.abs(np.subtract(found, wanted)).max()) < 40


def test_a_sheet_shows_each_middle_frame_in_the_order_of_the_rows(folder: Folder) -> None:
    for name, colour in (("z", RED), ("m", GREEN), ("a", BLUE)):
        folder.add(name, colour=colour)
    farm_("sheet", folder.path)
    with Image.open(folder.path / "sheet.png") as sheet:
        assert sheet.width == MARGIN + 3 * (240 + MARGIN)
        for index, colour in enumerate((RED, GREEN, BLUE)):
            x = MARGIN + index * (240 + MARGIN) + 100
            assert near(colour_at(sheet, x, MARGIN + 50), colour)


def test_a_wedge_is_a_grid_of_its_axes(folder: Folder) -> None:
    for seed, scale, colour in ((10, 4, RED), (9, 8, GREEN), (9, 4, BLUE)):
        wedge = {"wedge": f"seed={seed} guidance_scale={scale}", "wedge_of": "fox"}
        folder.add(f"fox_{seed}_{scale}", columns=wedge, colour=colour)
    folder.add("other")
    grid, rest = grids(takes_of(folder.path), columns=4)
    assert (grid.title, rest.title) == ("fox", "")
    assert grid.across == ("guidance_scale=4", "guidance_scale=8")
    assert grid.down == ("seed=9", "seed=10")
    names = [[take and take.name for take in row] for row in grid.cells]
    assert names == [["fox_9_4", "fox_9_8"], ["fox_10_4", None]]
    contact_sheet(takes_of(folder.path), folder.path / "sheet.png", Look(width=100))
    with Image.open(folder.path / "sheet.png") as sheet:
        left, top = MARGIN + 50 + MARGIN, MARGIN + 2 * 24
        assert near(colour_at(sheet, left + 50, top + 20), BLUE)
        assert near(colour_at(sheet, left + 50 + 100 + MARGIN, top + 20), GREEN)


def test_only_the_latest_version_is_shown_unless_all_are_asked_for(folder: Folder) -> None:
    folder.add("a", version=1)
    folder.add("a", version=2)
    assert [take.version for take in takes_of(folder.path)] == [2]
    assert [take.version for take in takes_of(folder.path, every_version=True)] == [1, 2]


def test_a_column_sorts_by_its_numbers(folder: Folder) -> None:
    for shot in ("sh10", "sh9", "sh100"):
        folder.add(f"clip_{shot}", columns={"shot": shot})
    shots = [take.columns["shot"] for take in takes_of(folder.path, order="shot")]
    assert shots == ["sh9", "sh10", "sh100"]
    with pytest.raises(BadDelivery, match="no take has a column 'scene': columns are shot"):
        takes_of(folder.path, order="scene")


def test_a_page_holds_its_pictures_and_every_script(folder: Folder) -> None:
    folder.add("a", prompt="猫 & <b>", colour=GREEN)
    farm_("sheet", folder.path, "--html")
    page = (folder.path / "sheet.html").read_text()
    assert "猫 &amp; &lt;b&gt;" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    (data,) = re.findall(r"base64,([^\"]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert near(colour_at(picture, 100, 50), GREEN)


def test_what_the_font_cannot_write_is_said(folder: Folder) -> None:
    assert unwritable(["Fuchs im Schnee, à côté"]) == ""
    assert unwritable(["a 猫 b"]) == "猫"
    folder.add("a", prompt="猫")
    assert "the font has no picture for 猫" in farm_("sheet", folder.path)
    nothing = folder.path / "no.ttf"
    assert "name a .ttf or .otf file" in farm_("sheet", folder.path, "--font", nothing, code=1)


def test_a_long_prompt_is_cut_to_the_pictures_width() -> None:
    font = ImageFont.load_default(12)
    cut = fitting("word " * 100, font, 240)
    assert cut.endswith("...")
    assert font.getlength(cut) <= 240


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_preview_moves_at_the_takes_own_speed(folder: Folder, kind: str) -> None:
    folder.add("a", frames=24, colour=RED)
    farm_("preview", folder.path, "--fps", 10, "--width", 64, "--format", kind)
    with Image.open(folder.path / "previews" / f"a_v001.{kind}") as moving:
        assert moving.size == (64, 32)
        assert near(colour_at(moving, 30, 15), (50, 7, 7))
        lasts = 0.0
        for index in range(moving.n_frames):
            moving.seek(index)
            moving.load()
            lasts += moving.info["duration"]
        assert lasts == 1000


def test_a_moving_sheet_ends_with_its_longest_take(folder: Folder) -> None:
    folder.add("a", frames=12)
    folder.add("b", frames=24)
    farm_("preview", folder.path, "--sheet", "--fps", 12, "--width", 64)
    with Image.open(folder.path / "sheet.webp") as moving:
        assert moving.width == MARGIN + 2 * (64 + MARGIN)
        assert moving.n_frames > 1


def test_a_folder_without_takes_says_what_fills_it(tmp_path: Path) -> None:
    with pytest.raises(BadDelivery, match="no takes with their sidecars there; `farm fetch`"):
        takes_of(tmp_path)


def test_a_take_that_is_listed_and_missing_is_named(folder: Folder) -> None:
    folder.add("a").unlink()
    assert "a_v001.mp4 is missing: fetch again" in farm_("sheet", folder.path, code=1)


def test_a_take_that_does_not_play_is_named(folder: Folder) -> None:
    folder.add("a").write_bytes(b"no film")
    assert "a_v001.mp4: it does not play" in farm_("sheet", folder.path, code=1)


def test_a_folder_of_sidecars_alone_will_do(folder: Folder) -> None:
    folder.add("a")
    (folder.path / "manifest.json").unlink()
    assert [take.label for take in takes_of(folder.path)] == ["a v001"]


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"`pip install heliostat\[delivery\]`"), extra():
        raise ModuleNotFoundError("No module named 'av'", name="av")
    with pytest.raises(ModuleNotFoundError), extra():
        raise ModuleNotFoundError("No module named 'x'", name="x")
