"""What to measure, from the command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node_agent.memory_size import compile_words, memory_size, memory_words, profile_words
from node_agent.render.bench.figures import REPEATS_MIN
from node_agent.render.profiles import PROFILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    model: Path | None
    """None: random weights of full size."""
    device: str
    """`cpu` or `cuda:N`."""
    width: int
    height: int
    steps: tuple[tuple[int, ...], ...]
    """Each setting is measured."""
    lanes: tuple[int, ...]
    """Each number of clips in lockstep is measured; to `tune`, as many of them as it takes."""
    chunks: int
    """Chunks of a clip that count, after one that warms up."""
    threads: int
    """Of the CPU; the render child has one unless told otherwise."""
    vram_bytes: int | None = None
    """The most of the card's memory to take; None is what is free."""
    ram_bytes: int | None = None
    """The most of the host's memory to take; None is what is free."""
    pageable: bool = False
    """Weights are streamed from ordinary memory, not from page-locked."""
    compiled: bool | None = None
    """Blocks are compiled; None is what suits the device."""
    profile: str | None = None
    """How the model is run; None is the best that fits."""
    tune: bool = False
    """Find the number of lanes that is worth it, with the first setting of `steps`."""

    def command(self) -> str:
        """The command line that measures this."""
        source = ["--model", str(self.model)] if self.model else ["--random-weights"]
        steps = [word for each in self.steps for word in ("--steps", joined(each))]
        return shlex.join(
            [
                *("farm-node", "bench", *source, "--device", self.device),
                *("--size", f"{self.width}x{self.height}", *steps, "--lanes", joined(self.lanes)),
                *("--chunks", str(self.chunks), "--threads", str(self.threads)),
                *memory_words(self.vram_bytes, self.ram_bytes, pageable=self.pageable),
                *compile_words(self.compiled),
                *profile_words(self.profile),
                *(["--tune"] if self.tune else []),
            ]
        )


def joined(numbers: Sequence[int]) -> str:
    """As they are written on the command line."""
    return ",".join(map(str, numbers))


def numbers(text: str) -> tuple[int, ...]:
    """Numbers of 1 or more with commas between. Raises ValueError."""
    found = tuple(int(word) for word in text.split(","))
    if min(found) < 1:
        raise ValueError(text)
    return found


def size(text: str) -> tuple[int, int]:
    """Width and height of `640x384`. Raises ValueError."""
    width, height = text.split("x")
    return int(width), int(height)


def parse(arguments: Sequence[str] | None) -> tuple[Options, int]:
    """The options, and the process id of whoever wants the record."""
    parser = argparse.ArgumentParser(prog="node_agent.render.bench")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path)
    source.add_argument("--random-weights", action="store_true")
    parser.add_argument("--device", required=True)
    parser.add_argument("--size", type=size, required=True)
    parser.add_argument("--steps", type=numbers, action="append", required=True)
    parser.add_argument("--lanes", type=numbers, required=True)
    parser.add_argument("--chunks", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--vram", type=memory_size)
    parser.add_argument("--ram", type=memory_size)
    parser.add_argument("--pageable", action="store_true")
    parser.add_argument("--compile", dest="compiled", action=argparse.BooleanOptionalAction)
    parser.add_argument("--profile", choices=PROFILES)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args(arguments)
    if given.chunks < REPEATS_MIN:
        parser.error(f"--chunks {given.chunks}: {REPEATS_MIN} or more show how far they spread")
    width, height = given.size
    options = Options(
        model=given.model,
        device=given.device,
        width=width,
        height=height,
        steps=tuple(given.steps),
        lanes=given.lanes,
        chunks=given.chunks,
        threads=given.threads,
        vram_bytes=given.vram,
        ram_bytes=given.ram,
        pageable=given.pageable,
        compiled=given.compiled,
        profile=given.profile,
        tune=given.tune,
    )
    return options, given.parent
