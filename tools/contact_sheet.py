"""A contact sheet: the middle frame of every clip in a folder, with its name and prompt."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

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


def pictures(folder: Path) -> list[Picture]:
    """Every take of a folder with its sidecar, in the order of the submitted rows."""
    found = []
    for sidecar in folder.glob("*.json"):
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
        take = sidecar.with_suffix(".mp4")
        name = f"{facts['clip_name']} v{facts['version']:03}"
        picture = Picture(name, facts["prompt"], middle_frame(take, facts["frames"]))
        found.append((facts["row"], picture))
    return [picture for _, picture in sorted(found, key=lambda pair: pair[0])]


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
