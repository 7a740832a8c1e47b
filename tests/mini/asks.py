"""Clips that helios-mini is asked for, of contents that it never saw."""

from __future__ import annotations

import csv
from importlib.resources import files

from node_agent.render.renderer import Frames
from tools.mini.captions import ACTIONS, PATTERNS, contents
from tools.mini.judge import read
from tools.mini.renders import Ask, How

HOW = How(size=64, chunks=2, steps=(20,), guidance_scale=3.0)
ASKS = [
    Ask("On a white ground, a red disc moves left.", ("disc", "red", "white", "left"), 1),
    Ask("A green triangle rises on a white ground.", ("triangle", "green", "white", "up"), 2),
    Ask("A white square moves right on a blue ground.", ("square", "white", "blue", "right"), 3),
    Ask("A blue disc circles on a yellow ground.", ("disc", "blue", "yellow", "circling"), 4),
]
BLUE = "A blue disc moves left on a white ground."
"""The first one in another colour."""


def demo_asks() -> list[Ask]:
    """What the demo asks for; KeyError for a caption of something that training has seen."""
    unseen = {
        pattern.format(shape=shape, colour=colour, ground=ground, action=action): content
        for content in contents(held_out=True)
        for shape, colour, ground, motion in [content]
        for pattern in PATTERNS
        for action in ACTIONS[motion]
    }
    rows = csv.DictReader((files("farm.cli.demo") / "mini.csv").read_text().splitlines())
    return [Ask(row["prompt"], unseen[row["prompt"]], int(row["seed"])) for row in rows]


def colours(frames: Frames) -> tuple[str, str]:
    """Of shape and ground, as the judge reads them."""
    shown = read(frames)
    return shown.colour, shown.ground


def asked(ask: Ask) -> tuple[str, str]:
    """The same, as the caption says."""
    return ask.content[1:3]
