"""The test card: frames in which clip, frame number and seed can be read back by machine.

It stands in for a model wherever the farm itself is rehearsed. Like a model it draws the same
pixels for the same clip and seed, chunk by chunk, and goes on from a checkpoint; it has no
latents, so a position is all that its checkpoint needs.

A card is a moving ground in two colours taken from the prompt that its chunk follows, the clip's
number and the frame's in large digits, and at the bottom a grid of 16 by 6 black and white cells:
32 bits of the clip's hash, 24 of the seed's that its chunk goes by, the frame number in 24, and a
CRC of 16 over the others. The cells are whole transform blocks of H.264, so they survive strong
compression.
"""

from __future__ import annotations

import colorsys
import hashlib
import time
import zlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from node_agent.render.profiles import EXACT, choose
from node_agent.render.renderer import (
    BLEND_CHUNKS,
    CHUNK_FRAMES,
    Checkpoint,
    CheckpointError,
    Clip,
    Frames,
    Negative,
    PendingChunk,
    PromptError,
    PromptMark,
    RenderCancelled,
    RenderedChunk,
    RenderSpec,
)
from node_agent.render.work_clock import WorkClock, Worked

VERSION = 2
"""Raised whenever a card's pixels change."""

_COLUMNS, _ROWS = 16, 6
_FRAMES_MAX = 1 << 24
_BAND = 128
"""Pixels from one ridge of the ground's waves to the next."""
_SPEED = 2
"""Pixels that the ground moves per frame."""
_POLL_SECONDS = 0.02

_Picture = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]

# Three by five dots, a row in every three bits, the top row highest.
_GLYPHS = dict(
    zip(
        "0123456789abcdef",
        (
            *(0o75557, 0o26227, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71122),
            *(0o75757, 0o75717, 0o75755, 0o65656, 0o74447, 0o65556, 0o74647, 0o74644),
        ),
        strict=True,
    )
)


class CardError(ValueError):
    """No card can be read in this picture: it is not one, or its checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is written in one frame."""

    clip_hash: int
    """First 32 bits of the SHA-256 of the clip's name."""
    frame: int
    seed_hash: int
    """First 24 bits of the SHA-256 of the seed's decimal digits."""


def card_of(name: str, seed: int, frame: int) -> Card:
    """The card that frame `frame` of a clip of this name must show."""
    return Card(_hash(name, 4), frame, _hash(str(seed), 3))


def read_card(frame: _Picture) -> Card:
    """Read the card of one picture, (height, width, 3) RGB, as decoded from a take.

    Raises CardError when the checksum does not fit.
    """
    height, width = frame.shape[:2]
    if height < 64 or width < 64:
        raise CardError(f"{width}x{height} is smaller than any card")
    top, left, cell = _grid_place(height, width)
    grid = frame[top : top + _ROWS * cell, left : left + _COLUMNS * cell].mean(axis=2)
    inner = grid.reshape(_ROWS, cell, _COLUMNS, cell)[:, 1:-1, :, 1:-1]
    content = np.packbits(inner.mean(axis=(1, 3)).reshape(-1) > 127).tobytes()
    if int.from_bytes(content[10:], "big") != _checksum(content[:10]):
        raise CardError("the grid's checksum is wrong: not a test card, or damaged beyond reading")
    return Card(
        clip_hash=int.from_bytes(content[:4], "big"),
        frame=int.from_bytes(content[7:10], "big"),
        seed_hash=int.from_bytes(content[4:7], "big"),
    )


class TestCardRenderer:
    """A renderer (`renderer.Renderer`) without a model, at the speed that you set."""

    __test__ = False  # the name is not a test's

    name = "testcard"
    model_digest = ""
    stack_id = f"testcard-{VERSION}"
    profiles: tuple[str, ...] = (EXACT.name,)
    model_name = ""
    placement = ""

    def __init__(self, seconds_per_chunk: float = 0.0) -> None:
        if seconds_per_chunk < 0:
            raise ValueError(f"seconds per chunk must be 0 or more, not {seconds_per_chunk}")
        self._seconds = seconds_per_chunk
        self.clock = WorkClock()

    def expect(self, specs: Sequence[RenderSpec]) -> None:
        """Do nothing: a card needs no encoded prompt."""

    def digest(self, spec: RenderSpec) -> str:  # noqa: ARG002 - one answer for all
        """Nothing: there is no model."""
        return self.model_digest

    def take_over(self, embeddings: Path) -> None:
        """Do nothing: a card needs no encoded prompt."""

    def embeddings(self, clip: Clip) -> bytes | None:
        """None: a card has no encoded prompt."""

    def step(
        self, lanes: Sequence[Clip], cancelled: Callable[[Clip], bool]
    ) -> list[PendingChunk | None]:
        """Draw the next cards of each lane, one lane after another."""
        chunks: list[RenderedChunk | None] = []
        self.clock.begin()
        for lane in cast("Sequence[TestCardClip]", lanes):
            try:
                with self.clock.working():
                    chunk = lane.step(lambda lane=lane: cancelled(lane))  # type: ignore[misc]
                chunks.append(replace(chunk, lanes=len(lanes)))
            except RenderCancelled:
                chunks.append(None)
        made = [chunk for chunk in chunks if chunk]
        if not made:
            return [None] * len(lanes)
        worked = self.clock.end()().share(len(made))
        return [_timed(chunk, worked) if chunk else None for chunk in chunks]

    def decode(self, negative: Negative, spec: RenderSpec) -> Frames:  # noqa: ARG002
        """Raises `CheckpointError`: a card has no negatives."""
        raise CheckpointError("a test card has no negatives; render it again")

    def start(self, spec: RenderSpec, checkpoint: Checkpoint | None = None) -> TestCardClip:
        """Begin a clip, or go on at the checkpoint's chunk. Raises PromptError, ProfileError."""
        _check(spec)
        choose(spec.quality, self.profiles, pinned=spec.profile)
        first = checkpoint.chunk if checkpoint else 0
        if not 0 <= first < spec.chunks:
            raise PromptError(f"chunk {first} is not one of this clip's {spec.chunks}")
        return TestCardClip(spec, first, self._seconds, checkpoint.steered if checkpoint else ())


class TestCardClip:
    """A clip in render (`renderer.Clip`)."""

    __test__ = False

    def __init__(
        self,
        spec: RenderSpec,
        next_chunk: int,
        seconds: float,
        steered: Sequence[PromptMark] = (),
    ) -> None:
        self.next_chunk = next_chunk
        self.spec = spec
        self._seconds = seconds
        self._steered = tuple(steered)
        self._drawn_for: str | None = None
        self._scale = max(2, min(spec.width // 40, spec.height // 30))
        self._title = _lettering(f"{_hash(_name(spec), 4):08x}", self._scale)

    @property
    def lane_group(self) -> Hashable:
        """Every card can be drawn beside every other."""
        return ()

    def steer(self, prompt: str, blend_chunks: int = BLEND_CHUNKS) -> None:
        """Take another prompt's colours from the next chunk on, without a blend."""
        mark = PromptMark(chunk=self.next_chunk, prompt=prompt, blend_chunks=blend_chunks)
        self._steered = (*(old for old in self._steered if old.chunk < mark.chunk), mark)

    def step(self, cancelled: Callable[[], bool]) -> RenderedChunk:
        """Draw the next chunk. Raises RenderCancelled."""
        began = time.monotonic()
        if cancelled():
            raise RenderCancelled
        first = self.next_chunk * CHUNK_FRAMES
        frames = self._draw(range(first, first + CHUNK_FRAMES))
        while (left := began + self._seconds - time.monotonic()) > 0:
            if cancelled():
                raise RenderCancelled
            time.sleep(min(left, _POLL_SECONDS))
        index, self.next_chunk = self.next_chunk, self.next_chunk + 1
        return RenderedChunk(index, frames, None, time.monotonic() - began, steered=self._steered)

    def _draw(self, numbers: range) -> Frames:
        height, width = self.spec.height, self.spec.width
        frames = np.empty((len(numbers), height, width, 3), np.uint8)
        if self._drawn_for != (prompt := self._prompt()):
            self._drawn_for, self._ground = prompt, _ground(replace(self.spec, prompt=prompt))
        for picture, number in zip(frames, numbers, strict=True):
            shift = number * _SPEED % _BAND
            picture[:] = self._ground[:, shift : shift + width]
            _write(picture, self._title, 3 * self._scale)
            _write(picture, _lettering(f"{number:05d}", self._scale), 11 * self._scale)
        top, left, cell = _grid_place(height, width)
        cells = (
            _bits(_name(self.spec), self._seed(), numbers).repeat(cell, axis=1).repeat(cell, axis=2)
        )
        frames[:, top : top + _ROWS * cell, left : left + _COLUMNS * cell] = cells[..., None]
        return frames

    def _prompt(self) -> str:
        """What the next chunk follows."""
        marks = {mark.chunk: mark.prompt for mark in (*self.spec.schedule, *self._steered)}
        begun = [chunk for chunk in marks if chunk <= self.next_chunk]
        return marks[max(begun)] if begun else self.spec.prompt

    def _seed(self) -> int:
        """What the next chunk goes by."""
        fork = self.spec.fork
        return fork.seed if fork is not None and fork.chunk <= self.next_chunk else self.spec.seed


def _timed(chunk: RenderedChunk, worked: Worked) -> PendingChunk:
    return PendingChunk.whole(replace(chunk, busy_seconds=worked.busy, idle_seconds=worked.idle))


def _check(spec: RenderSpec) -> None:
    sides = (spec.width, spec.height)
    if any(side < 64 or side % 64 for side in sides):
        raise PromptError(f"{spec.width}x{spec.height}: both sides must be multiples of 64")
    if not 1 <= spec.frames <= _FRAMES_MAX - CHUNK_FRAMES:
        raise PromptError(f"{spec.frames} frames: a card counts from 1 to {_FRAMES_MAX}")


def _name(spec: RenderSpec) -> str:
    """What a card calls its clip: by its name, so that the same clip looks the same wherever
    and however often it is submitted."""
    return spec.name or spec.clip_id


def _grid_place(height: int, width: int) -> tuple[int, int, int]:
    """Top and left of the grid, and the side of a cell: at the bottom, in the middle."""
    cell, margin = (4, 0) if min(height, width) < 128 else (8, 8)
    return height - _ROWS * cell - margin, (width - _COLUMNS * cell) // 2, cell


def _bits(name: str, seed: int, numbers: range) -> _Picture:
    """The cells of each frame, (frames, rows, columns), 0 or 255."""
    head = _hash(name, 4).to_bytes(4, "big") + _hash(str(seed), 3).to_bytes(3, "big")
    payloads = [head + number.to_bytes(3, "big") for number in numbers]
    content = b"".join(payload + _checksum(payload).to_bytes(2, "big") for payload in payloads)
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    cells: _Picture = bits.reshape(-1, _ROWS, _COLUMNS) * np.uint8(255)
    return cells


def _ground(spec: RenderSpec) -> _Picture:
    """Waves between two colours, one band wider than the picture; integers only, so exact."""
    digest = hashlib.sha256(spec.prompt.encode()).digest()
    hue = digest[0] / 256
    light = np.array([round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.55, 0.9)])
    deep = np.array([round(255 * c) for c in colorsys.hsv_to_rgb((hue + 0.12) % 1, 0.8, 0.4)])
    y, x = np.ogrid[: spec.height, : spec.width + _BAND]
    wave = np.abs((x + y // 2) % _BAND - _BAND // 2)  # 0..64 and back
    smooth = wave * wave * (192 - 2 * wave)  # 64**3 times 3t²-2t³
    ground: _Picture = (deep + ((light - deep) * smooth[..., None] >> 18)).astype(np.uint8)
    return ground


def _lettering(text: str, scale: int) -> _Mask:
    """Dots of `text`, five rows high, each dot `scale` pixels wide."""
    dots = np.zeros((5, 4 * len(text)), bool)
    for place, letter in enumerate(text):
        rows = [_GLYPHS[letter] >> shift & 7 for shift in (12, 9, 6, 3, 0)]
        dots[:, 4 * place : 4 * place + 3] = [[row >> bit & 1 for bit in (2, 1, 0)] for row in rows]
    return dots[:, :-1].repeat(scale, axis=0).repeat(scale, axis=1)


def _write(picture: _Picture, letters: _Mask, top: int) -> None:
    """Set white letters into the middle of the picture."""
    height, width = letters.shape
    left = (picture.shape[1] - width) // 2
    picture[top : top + height, left : left + width][letters] = 255


def _hash(text: str, length: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:length], "big")


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload) & 0xFFFF
