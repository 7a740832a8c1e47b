"""The world of the mini model: one coloured shape that moves before a coloured ground.

Endless and seeded; every scene knows where its shape is in each frame. Lengths are shares of the
picture's side, x to the right and y downwards; time is in frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pictures: TypeAlias = npt.NDArray[np.uint8]
"""(frames, height, width, 3), RGB."""
Grid: TypeAlias = npt.NDArray[np.float64]

COLOURS = {
    "red": (214, 40, 40),
    "green": (36, 160, 70),
    "blue": (44, 84, 216),
    "yellow": (242, 204, 44),
    "purple": (142, 54, 178),
    "white": (240, 240, 240),
}
"""Of shapes and of grounds; a scene's two are different."""

SHAPES = ("disc", "square", "triangle")
DIRECTIONS = ("left", "right", "up", "down")
MOTIONS = (*DIRECTIONS, "circling", "bouncing", "growing")

RADIUS = (0.15, 0.19)
"""Of a disc; squares and triangles have its area."""
SPEED = (0.018, 0.022)
"""A frame; about two thirds of the picture in a chunk."""
ORBIT, ORBIT_FRAMES = 0.24, 44
BOUNCE, BOUNCE_FRAMES = 0.46, 22
GROWTH, GROWTH_FRAMES = (0.09, 0.30), 66
"""Radius at the smallest and at the largest, and frames from smallest to smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a clip shows, and where it begins."""

    shape: str
    colour: str
    ground: str
    motion: str
    x: float
    """Where the shape is at frame 0; of a circling one the centre of its orbit."""
    y: float
    """The same downwards; of a bouncing one the height of the floor."""
    radius: float
    speed: float
    phase: float
    """Of circling, bouncing and growing, in radians."""

    @property
    def content(self) -> tuple[str, str, str, str]:
        """What a caption tells: shape, colour, ground and motion."""
        return self.shape, self.colour, self.ground, self.motion


@dataclass(frozen=True, slots=True)
class Place:
    """Where the shape is in one frame."""

    x: float
    y: float
    radius: float


def scene(rng: np.random.Generator, content: tuple[str, str, str, str] | None = None) -> Scene:
    """Draw a scene; `content` fixes what it shows, and leaves only where it begins."""
    shape, colour, ground, motion = content or _content(rng)
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65)
    near, far = rng.uniform(0.2, 0.3), rng.uniform(0.7, 0.8)
    match motion:
        case "left":
            x = far
        case "right":
            x = near
        case "up":
            y = far
        case "down":
            y = near
        case "bouncing":
            y = rng.uniform(0.76, 0.8)
        case "circling":
            x, y = rng.uniform(0.47, 0.53), rng.uniform(0.47, 0.53)
        case _:
            x, y = rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.58)
    return Scene(
        shape=shape,
        colour=colour,
        ground=ground,
        motion=motion,
        x=x,
        y=y,
        radius=rng.uniform(*RADIUS),
        speed=rng.uniform(*SPEED),
        phase=rng.uniform(-0.5, 0.5),
    )


def _content(rng: np.random.Generator) -> tuple[str, str, str, str]:
    colour, ground = rng.choice(list(COLOURS), 2, replace=False)
    return str(rng.choice(SHAPES)), str(colour), str(ground), str(rng.choice(MOTIONS))


def recoloured(shown: Scene, rng: np.random.Generator) -> Scene:
    """The same scene with a shape of another colour."""
    left = [name for name in COLOURS if name not in (shown.colour, shown.ground)]
    return replace(shown, colour=str(rng.choice(left)))


def place(shown: Scene, frame: int) -> Place:
    """Where the shape is in a frame."""
    x, y, radius = shown.x, shown.y, shown.radius
    match shown.motion:
        case "left":
            x = _passing(x - shown.speed * frame, radius)
        case "right":
            x = _passing(x + shown.speed * frame, radius)
        case "up":
            y = _passing(y - shown.speed * frame, radius)
        case "down":
            y = _passing(y + shown.speed * frame, radius)
        case "circling":  # clockwise, from the top
            angle = shown.phase - math.pi / 2 + 2 * math.pi * frame / ORBIT_FRAMES
            x, y = x + ORBIT * math.cos(angle), y + ORBIT * math.sin(angle)
        case "bouncing":  # dropped from the top
            y -= BOUNCE * abs(math.cos(shown.phase + math.pi * frame / BOUNCE_FRAMES))
        case "growing":  # and shrinking again
            share = (1 - math.cos(shown.phase + 2 * math.pi * frame / GROWTH_FRAMES)) / 2
            radius = GROWTH[0] + (GROWTH[1] - GROWTH[0]) * share
    return Place(x, y, radius)


def _passing(at: float, radius: float) -> float:
    """What has left the picture as a whole comes in again on the other side."""
    reach = 1.1 * radius
    return (at + reach) % (1 + 2 * reach) - reach


def draw(shown: Scene, frames: Iterable[int], size: int) -> Pictures:
    """Frames of a scene, `size` pixels high and wide, with soft edges."""
    centres = (np.arange(size) + 0.5) / size
    right, down = np.meshgrid(centres, centres)
    ground, colour = (np.array(COLOURS[name], float) for name in (shown.ground, shown.colour))
    pictures = []
    for frame in frames:
        at = place(shown, frame)
        distance = outside(shown.shape, right - at.x, down - at.y, at.radius)
        cover = np.clip(0.5 - distance * size, 0, 1)[..., None]
        pictures.append(np.round(ground + cover * (colour - ground)).astype(np.uint8))
    return np.stack(pictures)


def outside(shape: str, x: Grid, y: Grid, radius: float) -> Grid:
    """How far points lie outside of a shape around the origin, inside below 0.

    Exact along its sides. All shapes have the area of a disc of `radius`.
    """
    match shape:
        case "disc":
            return np.hypot(x, y) - radius
        case "square":
            return np.maximum(abs(x), abs(y)) - radius * math.sqrt(math.pi) / 2
        case "triangle":  # equilateral, its tip above; area 3 sqrt(3) inradius²
            inradius = radius * math.sqrt(math.pi / (3 * math.sqrt(3)))
            slanted = abs(x) * math.sqrt(3) / 2 - y / 2
            return np.maximum(y, slanted) - inradius
    raise ValueError(f"shape {shape!r}: there are {', '.join(SHAPES)}")
