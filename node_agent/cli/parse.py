"""Values of options, as they are typed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import typer

from node_agent.render.renderer import CHUNK_FRAMES, LoraUse, PromptMark

_SIZE: Final = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_MARK: Final = re.compile(
    r"\s*(?:(?:chunk\s*)?(?P<chunk>[0-9]{1,6})|(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,6})?)\s*s)\s*"
    r":(?P<prompt>.*)",
    re.IGNORECASE | re.DOTALL,
)
_LORA: Final = re.compile(r"(?P<name>[^:]+)(?::(?P<scale>-?[0-9]+(?:\.[0-9]+)?))?")

GRAPHICS_DEVICE: Final = Path("/dev/nvidia0")


def size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT`."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size; write it as 640x384", param_hint="--size")
    return int(found[1]), int(found[2])


def steps(text: str) -> tuple[int, ...]:
    """`2,2,2`, or one number; "" is the quality's own."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} are no steps; write one number for each stage, as 2,2,2",
            param_hint="--steps",
        ) from None


def schedule(marks: Sequence[str], fps: int, blend_chunks: int) -> tuple[PromptMark, ...]:
    """Each `MARK: PROMPT`, a mark being a chunk (`4`) or a time (`5s`).

    A time means the first chunk that begins then or later, as in the farm's files.
    """
    return tuple(_mark(text, fps, blend_chunks) for text in marks)


def loras(uses: Sequence[str]) -> tuple[LoraUse, ...]:
    """Each `NAME:SCALE`, or `NAME` for a scale of 1."""
    found = []
    for text in uses:
        parts = _LORA.fullmatch(text)
        if parts is None:
            raise typer.BadParameter(f"{text!r}: write it as NAME:0.8", param_hint="--lora")
        found.append(LoraUse(name=parts["name"], scale=float(parts["scale"] or 1)))
    return tuple(found)


def device(text: str) -> str:
    """`cpu` or `cuda:N`; "" is the first card where there is one."""
    if not text:
        return "cuda:0" if GRAPHICS_DEVICE.exists() else "cpu"
    if text != "cpu" and re.fullmatch(r"cuda:[0-9]{1,2}", text) is None:
        raise typer.BadParameter(f"{text!r}: write cpu or cuda:0", param_hint="--device")
    return text


def film(path: Path) -> Path:
    """Where a film goes: an `.mp4`, made absolute."""
    if path.suffix != ".mp4":
        raise typer.BadParameter(
            f"{path}: a film's name ends in .mp4 (`farm-node redecode` makes others)",
            param_hint="--out",
        )
    return path.absolute()


def _mark(text: str, fps: int, blend_chunks: int) -> PromptMark:
    found = _MARK.fullmatch(text)
    if found is None or not found["prompt"].strip():
        raise typer.BadParameter(
            f"{text!r}: write MARK: PROMPT, such as '4: The cat wakes.' or '5s: The cat wakes.'",
            param_hint="--schedule",
        )
    if found["chunk"] is not None:
        chunk = int(found["chunk"])
    else:
        chunk = math.ceil(Fraction(found["seconds"]) * fps / CHUNK_FRAMES)
    return PromptMark(chunk=chunk, prompt=found["prompt"].strip(), blend_chunks=blend_chunks)
