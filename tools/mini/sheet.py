"""A contact sheet: held-out captions, each over frames of the clip that they became."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from node_agent.render.helios.renderer import HeliosRenderer

from .renders import Ask, How, held_out_asks, rendered
from .world import MOTIONS, Pictures

FRAMES = 10
"""Of a clip, evenly spread."""
MARGIN, CAPTION = 6, 14
"""Pixels around a strip, and above it for its caption."""
COLUMNS = 2


def sheet(model: Path, destination: Path, *, clips: int, seed: int, how: How) -> None:
    """Render `clips` held-out captions, every motion as often, and write the sheet as PNG."""
    asks = _every_motion(held_out_asks(20 * clips, seed), clips)
    strips = [_strip(ask, film) for ask, film in rendered(HeliosRenderer(model), asks, how)]
    strips += [np.full_like(strips[0], 255)] * (-len(strips) % COLUMNS)
    columns = [np.concatenate(strips[number::COLUMNS]) for number in range(COLUMNS)]
    Image.fromarray(np.concatenate(columns, axis=1)).save(destination, optimize=True)


def _every_motion(asks: list[Ask], clips: int) -> list[Ask]:
    by_motion = {motion: [ask for ask in asks if ask.content[3] == motion] for motion in MOTIONS}
    return [by_motion[MOTIONS[number % 7]][number // 7] for number in range(clips)]


def _strip(ask: Ask, film: Pictures) -> Pictures:
    """A caption and frames of its clip, one beside the other."""
    chosen = film[np.linspace(0, len(film) - 1, FRAMES).round().astype(int)]
    apart = np.pad(chosen, ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=255)
    row = np.concatenate([*apart], axis=1)
    above = Image.new("RGB", (row.shape[1], CAPTION), "white")
    ImageDraw.Draw(above).text((0, 1), ask.prompt, fill="black")
    strip = np.concatenate([np.asarray(above), row])
    space = ((MARGIN // 2, MARGIN // 2), (MARGIN, MARGIN), (0, 0))
    framed: Pictures = np.pad(strip, space, constant_values=255)
    return framed
