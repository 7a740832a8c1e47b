"""The caption language, and which contents are held out from training."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np

from .world import COLOURS, MOTIONS, SHAPES, Scene, scene

Content = tuple[str, str, str, str]
"""Shape, colour, ground, motion."""

ACTIONS = {
    "left": ("moves left", "moves to the left"),
    "right": ("moves right", "moves to the right"),
    "up": ("moves up", "rises"),
    "down": ("moves down", "falls"),
    "circling": ("moves in a circle", "circles"),
    "bouncing": ("bounces", "bounces up and down"),
    "growing": ("grows and shrinks", "grows"),
}

PATTERNS = (
    "A {colour} {shape} {action} on a {ground} ground.",
    "a {colour} {shape} {action} before a {ground} background",
    "On a {ground} ground, a {colour} {shape} {action}.",
)

HELD_OUT_SHARE = 5
"""One content in so many is never seen in training."""


def caption(content: Content, rng: np.random.Generator) -> str:
    """One of the ways to say it."""
    shape, colour, ground, motion = content
    pattern, action = rng.choice(PATTERNS), rng.choice(ACTIONS[motion])
    return str(pattern).format(shape=shape, colour=colour, ground=ground, action=action)


def contents(*, held_out: bool) -> list[Content]:
    """All that are held out, or all that are not."""
    every = itertools.product(SHAPES, COLOURS, COLOURS, MOTIONS)
    return [each for each in every if each[1] != each[2] and is_held_out(each) == held_out]


def is_held_out(content: Content) -> bool:
    """Whether training never sees it; the same everywhere and for ever."""
    digest = hashlib.sha256(" ".join(content).encode()).digest()
    return digest[0] % HELD_OUT_SHARE == 0


def training_scene(rng: np.random.Generator) -> Scene:
    """A scene that training may see."""
    while True:
        drawn = scene(rng)
        if not is_held_out(drawn.content):
            return drawn


def corpus() -> list[str]:
    """Every caption of every content: what the tokenizer learns from."""
    return [
        pattern.format(shape=shape, colour=colour, ground=ground, action=action)
        for shape, colour, ground, motion in itertools.product(SHAPES, COLOURS, COLOURS, MOTIONS)
        for pattern in PATTERNS
        for action in ACTIONS[motion]
    ]
