"""Reads from a clip's pixels what it shows; no model, nothing learned.

Each chunk is read by itself: its ground, and of its shape the colour, the kind and the motion.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .world import COLOURS, DIRECTIONS, SHAPES, Grid, Pictures, outside

Mask: TypeAlias = npt.NDArray[np.bool_]

CHUNK_FRAMES = 33
UNSEEN = "nothing"

CONTRAST = 60.0
"""Distance in RGB from the ground of what counts as the shape."""
AREA = (0.008, 0.5)
"""Share of a picture that a shape covers; what is less or more is none."""
LEAP = 0.12
"""Of a picture's side: who moves more from frame to frame has come in again."""
STRAIGHT = 0.7
"""Share of a path's spread that a straight line explains."""
STILL = 0.05
"""Root mean square of a path's spread, in sides: less is standing still."""
GROWN = 1.6
"""Largest by smallest area of what grows or shrinks."""
TURNED = math.pi / 2
"""Radians that a path has to turn one way to be a circle."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a chunk shows; `UNSEEN` where nothing can be told."""

    ground: str
    colour: str
    shape: str
    motion: str
    ground_rgb: tuple[float, float, float]
    colour_rgb: tuple[float, float, float] | None
    """Of the shape, in the mean."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The shape in one frame; lengths are shares of the picture's side."""

    x: float
    y: float
    area: float
    whole: bool
    """It does not touch the picture's edge."""
    mask: Mask = field(repr=False)


def read(pictures: Pictures) -> Shown:
    """What the frames of one chunk show."""
    names = nearest(pictures)
    ground = Counter(names.ravel().tolist()).most_common(1)[0][0]
    ground_rgb = np.median(pictures[names == ground].astype(float), axis=0)
    outlines = [_outline(picture, ground_rgb) for picture in pictures]
    seen = [each for each in outlines if each is not None]
    colour, rgb = _colour(pictures, names, outlines, ground)
    return Shown(
        ground=list(COLOURS)[ground],
        colour=colour,
        shape=_shape(seen),
        motion=_motion(outlines),
        ground_rgb=_triple(ground_rgb),
        colour_rgb=rgb,
    )


def read_chunks(film: Pictures) -> list[Shown]:
    """What each chunk of a film shows; the last may be shorter than the others."""
    return [read(film[first : first + CHUNK_FRAMES]) for first in range(0, len(film), CHUNK_FRAMES)]


def nearest(pictures: Pictures) -> npt.NDArray[np.int64]:
    """(frames, height, width): of each pixel the place in `COLOURS` of the one nearest to it."""
    palette = np.array(list(COLOURS.values()), np.float32)
    pixels = pictures.astype(np.float32)
    distances = np.stack([((pixels - colour) ** 2).sum(-1) for colour in palette])
    found: npt.NDArray[np.int64] = np.argmin(distances, axis=0)
    return found


def _outline(picture: npt.NDArray[np.uint8], ground: Grid) -> Outline | None:
    mask = np.linalg.norm(picture.astype(float) - ground, axis=-1) > CONTRAST
    area = float(mask.mean())
    if not AREA[0] <= area <= AREA[1]:
        return None
    rows, columns = np.nonzero(mask)
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    size = len(picture)
    return Outline(
        x=float(columns.mean() + 0.5) / size,
        y=float(rows.mean() + 0.5) / size,
        area=area,
        whole=not any(edge.any() for edge in edges),
        mask=mask,
    )


def _colour(
    pictures: Pictures,
    names: npt.NDArray[np.int64],
    outlines: list[Outline | None],
    ground: int,
) -> tuple[str, tuple[float, float, float] | None]:
    """The shape's colour: of its pixels the most frequent one that is not the ground's."""
    votes: Counter[int] = Counter()
    for number, outline in enumerate(outlines):
        if outline is not None:
            votes.update(names[number][outline.mask].tolist())
    votes.pop(ground, None)
    if not votes:
        return UNSEEN, None
    chosen = votes.most_common(1)[0][0]
    pixels = [
        pictures[number][outline.mask & (names[number] == chosen)]
        for number, outline in enumerate(outlines)
        if outline is not None
    ]
    return list(COLOURS)[chosen], _triple(np.concatenate(pixels).mean(axis=0))


def _shape(seen: list[Outline]) -> str:
    """The kind whose ideal of the same area and centre covers the most of the outlines."""
    whole = [each for each in seen if each.whole]
    if not whole:
        return UNSEEN
    fits = {shape: float(np.mean([_fit(shape, each) for each in whole])) for shape in SHAPES}
    return max(fits, key=lambda shape: fits[shape])


def _fit(shape: str, outline: Outline) -> float:
    """Intersection over union."""
    centres = (np.arange(len(outline.mask)) + 0.5) / len(outline.mask)
    x, y = np.meshgrid(centres - outline.x, centres - outline.y)
    ideal = outside(shape, x, y, math.sqrt(outline.area / math.pi)) <= 0
    return float((ideal & outline.mask).sum() / (ideal | outline.mask).sum())


def _motion(outlines: list[Outline | None]) -> str:
    """What the centre's path looks like, or that the area changes about a centre at rest."""
    path, areas = _path(outlines)
    if len(path) < CHUNK_FRAMES // 4:
        return UNSEEN
    spread = path - path.mean(axis=0)
    if math.sqrt(float((spread**2).sum(axis=1).mean())) < STILL:
        grown = len(areas) > 1 and np.max(areas) / np.min(areas) >= GROWN
        return "growing" if grown else UNSEEN
    times = np.arange(len(path)) - (len(path) - 1) / 2
    slope = (times[:, None] * spread).sum(axis=0) / (times**2).sum()
    explained = ((times[:, None] * slope) ** 2).sum() / (spread**2).sum()
    if explained >= STRAIGHT:
        left, right, up, down = DIRECTIONS
        if abs(slope[0]) >= abs(slope[1]):
            return right if slope[0] > 0 else left
        return down if slope[1] > 0 else up
    return "circling" if abs(_turn(path)) >= TURNED else "bouncing"


def _path(outlines: list[Outline | None]) -> tuple[Grid, Grid]:
    """Centres as if nobody ever left and came in again, (frames, 2); areas of whole shapes."""
    at: list[Grid] = []
    before: Outline | None = None
    for outline in outlines:
        if outline is None:
            continue
        step = np.zeros(2)
        if before is not None:
            step = np.array([outline.x - before.x, outline.y - before.y])
        if np.abs(step).max() > LEAP:
            step = np.zeros(2)
        at.append(at[-1] + step if at else step)
        before = outline
    areas = [each.area for each in outlines if each is not None and each.whole]
    return np.array(at).reshape(-1, 2), np.array(areas)


def _turn(path: Grid) -> float:
    """Radians that a smoothed path turns in all, the sharp turns of a bounce left out."""
    smooth = np.stack([np.convolve(axis, np.ones(3) / 3, "valid") for axis in path.T], axis=1)
    steps = np.diff(smooth, axis=0)
    moving = steps[np.linalg.norm(steps, axis=1) > 1e-3]
    headings = np.arctan2(moving[:, 1], moving[:, 0])
    turns = (np.diff(headings) + math.pi) % (2 * math.pi) - math.pi
    return float(turns[np.abs(turns) < math.pi / 3].sum())


def _triple(values: Grid) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
