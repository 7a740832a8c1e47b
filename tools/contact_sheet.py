"""A contact sheet: the middle frame of every clip in a folder, with its name and prompt."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFont

THUMB_WIDTH = 240
"""Pixels."""
COLUMNS = 4
MARGIN = 12
TEXT_HEIGHT = 46
BACKGROUND, INK, FAINT = (24, 24, 28), (235, 235, 235), (160, 160, 165)


@dataclass(frozen=True, slots=True)
class Picture:
    """One clip on the sheet."""

    name: str
    prompt: str
    image: Image.Image


def middle_frame(take: Path, frames: int) -> Image.Image:
    """Decodes a take as far as its middle. Raises ValueError when it holds too few frames."""
    with av.open(str(take)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == frames // 2:
                return Image.fromarray(frame.to_ndarray(format="rgb24"))
    raise ValueError(f"{take}: ends before frame {frames // 2}")


def sidecars(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Every sidecar that `farm fetch` wrote into a folder, in the order of the submitted rows."""
    found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json")]
    own = [(path, facts) for path, facts in found if "take_sha256" in facts]
    return sorted(own, key=lambda pair: pair[1]["row"])


def pictures(folder: Path) -> list[Picture]:
    """Every take of a folder, in the order of the submitted rows."""
    return [
        Picture(
            f"{facts['clip_name']} v{facts['version']:03}",
            facts["prompt"],
            middle_frame(path.with_suffix(".mp4"), facts["frames"]),
        )
        for path, facts in sidecars(folder)
    ]


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a text as fits on a line of `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def contact_sheet(clips: list[Picture], path: Path) -> None:
    """Draws the sheet into a PNG. Raises ValueError without clips."""
    if not clips:
        raise ValueError("no clips to show")
    thumbs = [
        clip.image.resize((THUMB_WIDTH, round(clip.image.height * THUMB_WIDTH / clip.image.width)))
        for clip in clips
    ]
    cell_height = max(thumb.height for thumb in thumbs) + TEXT_HEIGHT
    columns = min(COLUMNS, len(clips))
    rows = -(-len(clips) // columns)
    size = (
        MARGIN + columns * (THUMB_WIDTH + MARGIN),
        MARGIN + rows * (cell_height + MARGIN),
    )
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(15), ImageFont.load_default(12)
    for index, (clip, thumb) in enumerate(zip(clips, thumbs, strict=True)):
        x = MARGIN + index % columns * (THUMB_WIDTH + MARGIN)
        y = MARGIN + index // columns * (cell_height + MARGIN)
        sheet.paste(thumb, (x, y))
        y += thumb.height + 5
        draw.text((x, y), fitting(clip.name, bold, THUMB_WIDTH), INK, font=bold)
        draw.text((x, y + 20), fitting(clip.prompt, small, THUMB_WIDTH), FAINT, font=small)
    sheet.save(path)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.add_argument("clips", type=Path, help="a folder that `farm fetch` wrote")
    parser.add_argument("png", type=Path, help="the sheet to write")
    options = parser.parse_args()
    contact_sheet(pictures(options.clips), options.png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
