"""A contact sheet shows every clip of a folder, in the order of its rows."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from tools.contact_sheet import MARGIN, THUMB_WIDTH, contact_sheet, fitting, pictures

COLOURS = {"first": (200, 30, 30), "second": (30, 160, 30), "third": (30, 30, 200)}


def write_take(path, colour, frames=9):
    """A clip whose middle frame alone has the colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for index in range(frames):
            picture = np.full((64, 128, 3), colour if index == frames // 2 else 0, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path):
    # Rows against the alphabet: the sheet follows the rows.
    for row, name in enumerate(reversed(COLOURS), 2):
        write_take(tmp_path / f"{name}_v001.mp4", COLOURS[name])
        facts = {"row": row, "clip_name": name, "version": 1, "prompt": "x " * 400, "frames": 9}
        facts["take_sha256"] = "0" * 64
        (tmp_path / f"{name}_v001.json").write_text(json.dumps(facts))
    (tmp_path / "manifest.json").write_text("{}")  # not a sidecar
    return tmp_path


def test_every_clip_shows_its_middle_frame_in_the_order_of_its_row(folder):
    clips = pictures(folder)
    assert [clip.name for clip in clips] == ["third v001", "second v001", "first v001"]
    contact_sheet(clips, folder / "sheet.png")
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width == MARGIN + 3 * (THUMB_WIDTH + MARGIN)
        for index, colour in enumerate(reversed(COLOURS.values())):
            seen = sheet.getpixel((MARGIN + index * (THUMB_WIDTH + MARGIN) + 100, MARGIN + 50))
            assert np.abs(np.subtract(seen, colour)).max() < 40


def test_a_long_prompt_is_cut_to_the_thumbnails_width(folder):
    class Font:
        @staticmethod
        def getlength(text):
            return 8.0 * len(text)

    assert fitting("a  short\nprompt", Font, 240) == "a short prompt"
    assert fitting("y" * 100, Font, 240) == "y" * 27 + "..."


def test_without_clips_there_is_no_sheet(tmp_path):
    with pytest.raises(ValueError, match="no clips"):
        contact_sheet([], tmp_path / "sheet.png")
