"""Text of a submission to values: each reader returns the value, or says what is wrong with it.

Readers are strict: what a spreadsheet could have mangled (`12.5`, `1e3`, `1,440`, full-width
digits) is refused with the spelling that is understood, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from farm.domain.roots import Root

MODES: Final = ("text_to_video", "image_to_video", "video_to_video", "interactive")
"""What a clip can be made from; with prompts that follow it is interactive."""

QUALITIES: Final = ("draft", "standard", "exact")
"""What a user asks for; the profile that serves it is the card's affair."""

SIZE_STEP_PX: Final = 64
"""Helios's three-stage pyramid needs both sides to be multiples of it."""

SEED_MAX: Final = 2**63 - 1

OTHER_ROWS: Final = "write ids of other rows of this file, and --after for another batch"

_WHOLE = re.compile(r"[0-9]{1,19}")
_NEGATIVE = re.compile(r"-[0-9]+")
_POINT_ZERO = re.compile(r"([0-9]{1,19})\.0+")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[,'\u00a0\u202f ][0-9]{3})+")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_SIZE = re.compile(r"\s*([0-9]{1,6})\s*[xX\u00d7*]\s*([0-9]{1,6})\s*")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN_CHARS_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a submission may ask for at most. Every limit is named in the problem it causes."""

    clips_max: int = 1_000_000
    problems_max: int = 10_000
    prompt_tokens_max: int = 512
    prompt_chars_max: int = 20_000
    name_chars_max: int = 200
    frames_max: int = 14_400
    """Ten minutes at 24 frames per second."""
    fps_max: int = 120
    side_px_max: int = 1920
    pixels_max: int = 1920 * 1088
    steps_max: int = 200
    """Of each stage."""
    stages_max: int = 8
    stages: int = 0
    """Of the farm's model: steps are given for each; 0 is not known."""
    presets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Steps by quality of the farm's model; empty is not known."""
    guided: bool = True
    """The farm's model takes a guidance scale other than 1."""
    columns_max: int = 200
    """The batch's own columns and ours together."""
    dependencies_max: int = 2_000_000
    """Of all clips of a batch together."""
    cell_chars_max: int = 20_000
    """Of the batch's own columns."""
    bucket: str = "heliostat"
    """The farm's, which clips may start from objects of."""
    inputs: tuple[str, ...] | None = None
    """Directories of the nodes that clips may start from files of; None is anywhere."""
    roots: tuple[Root, ...] = ()
    """Shared storage that clips may start from files of."""
    loras: bool = True
    """The farm has a directory of LoRAs."""


class BadValue(Exception):
    """A text that is no value of its field: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}, {remedy}")
        self.what = what
        self.remedy = remedy


def shown(text: str) -> str:
    """A user's text in quotes for one line of output: cut to 40 characters, controls escaped."""
    cut = text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
    return '"' + one_line(cut) + '"'


def one_line(text: str) -> str:
    """`text` with everything escaped that could break a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def control_character(text: str) -> str:
    """The first character that no prompt or name can hold, as `U+0000`; empty when there is none.

    Tabs and line ends are fine. C1 controls are what Windows' quotes and dashes become when a
    file in another encoding is read as UTF-8.
    """
    if text.isprintable():
        return ""
    match = _CONTROL.search(text)
    return f"U+{ord(match.group()):04X}" if match else ""


def whole_number(text: str, low: int, high: int) -> int:
    """A whole number in plain digits, from `low` to `high`."""
    if _WHOLE.fullmatch(text):
        number = int(text)
        if low <= number <= high:
            return number
        raise BadValue(f"{number} is out of range", f"choose {low} to {high}")
    if _NEGATIVE.fullmatch(text) or (text.isascii() and text.isdigit()):
        raise BadValue(f"{_cut(text)} is out of range", f"choose {low} to {high}")
    if match := _POINT_ZERO.fullmatch(text):
        raise BadValue(f"{shown(text)} is not a whole number", f"write {int(match.group(1))}")
    if _THOUSANDS.fullmatch(text):
        plain = "".join(c for c in text if c.isdigit())
        raise BadValue(f"{shown(text)} is not a whole number", f"write {plain}")
    if text.isdigit():
        raise BadValue(f"{shown(text)} is not written in the digits 0 to 9", "use those")
    raise BadValue(f"{shown(text)} is not a whole number", f"write one from {low} to {high}")


def decimal(text: str, low: float, high: float) -> float:
    """A number with an optional decimal point, from `low` to `high`."""
    if not _DECIMAL.fullmatch(text):
        if _DECIMAL.fullmatch(text.replace(",", ".")):
            raise BadValue(f"{shown(text)} has a decimal comma", f"write {text.replace(',', '.')}")
        raise BadValue(f"{shown(text)} is not a number", f"write one from {low:g} to {high:g}")
    number = float(text)
    if not low <= number <= high:
        raise BadValue(f"{_cut(text)} is out of range", f"choose {low:g} to {high:g}")
    return number


def side(text: str, limits: Limits) -> int:
    """A width or height in pixels, a multiple of 64."""
    pixels = whole_number(text, SIZE_STEP_PX, limits.side_px_max)
    if pixels % SIZE_STEP_PX:
        raise BadValue(
            f"{pixels} is not a multiple of {SIZE_STEP_PX}", f"use {_nearest(pixels, limits)}"
        )
    return pixels


def size(text: str, limits: Limits) -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels → (width, height)."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise BadValue(f"{shown(text)} is not a size", "write WIDTHxHEIGHT, such as 640x384")
    width, height = int(match.group(1)), int(match.group(2))
    near = f"{_nearest(width, limits)}x{_nearest(height, limits)}"
    for pixels in (width, height):
        if not SIZE_STEP_PX <= pixels <= limits.side_px_max:
            raise BadValue(
                f"{pixels} in {width}x{height} is out of range",
                f"choose {SIZE_STEP_PX} to {limits.side_px_max} for each side",
            )
        if pixels % SIZE_STEP_PX:
            raise BadValue(
                f"{pixels} in {width}x{height} is not a multiple of {SIZE_STEP_PX}", f"use {near}"
            )
    check_pixels(width, height, limits)
    return width, height


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise `BadValue` when a frame has more pixels than the farm renders."""
    if width * height > limits.pixels_max:
        raise BadValue(
            f"{width}x{height} is {width * height} pixels",
            f"choose a size of at most {limits.pixels_max} pixels, such as 1920x1088",
        )


def steps(text: str, limits: Limits) -> tuple[int, ...]:
    """Denoising steps: `2,2,2` or `2-2-2` or `2 2 2` (each pyramid stage), or one number."""
    parts = re.split(r"[\s,;-]+", text.strip().removeprefix("[").removesuffix("]").strip())
    remedy = f"write one number or one for each stage, such as 2,2,2 (1 to {limits.steps_max})"
    if len(parts) > limits.stages_max or not all(_WHOLE.fullmatch(part) for part in parts):
        raise BadValue(f"{shown(text)} is not a list of steps", remedy)
    numbers = tuple(int(part) for part in parts)
    if not all(1 <= number <= limits.steps_max for number in numbers):
        raise BadValue(f"{shown(text)} is out of range", remedy)
    if limits.stages and len(numbers) != limits.stages:
        example = ",".join(["2"] * limits.stages) if limits.stages > 1 else "50"
        raise BadValue(
            f"{shown(text)} does not fit the farm's model, which has {limits.stages} "
            f"{'stage' if limits.stages == 1 else 'stages'}",
            f"write {limits.stages} of them, such as {example}",
        )
    return numbers


def guidance_scale(text: str, limits: Limits) -> float:
    """How strongly the prompt guides; distilled models have it built in and take 1 only."""
    scale = decimal(text, 0, 100)
    if not limits.guided and scale != 1:
        raise BadValue(
            f"{shown(text)}: the farm's model is distilled and takes no guidance scale",
            "leave it out, or write 1",
        )
    return scale


def quality(text: str) -> str:
    """One of `QUALITIES`, in any case."""
    word = text.casefold()
    if word not in QUALITIES:
        raise BadValue(f"{shown(text)} is no quality", f"choose {_any_of(QUALITIES)}")
    return word


def mode(text: str) -> str:
    """One of `MODES`, in any case; `-` and spaces count as `_`."""
    word = re.sub(r"[\s_-]+", "_", text.casefold())
    if word not in MODES:
        raise BadValue(f"{shown(text)} is no mode", f"use {_any_of(MODES)}")
    return word


def prose(text: str, limits: Limits) -> str:
    """A prompt: any script, line ends and tabs allowed, other control characters refused."""
    return _text(text, limits.prompt_chars_max)


def own_text(text: str, limits: Limits) -> str:
    """A cell of the batch's own columns."""
    return _text(text, limits.cell_chars_max)


def clip_name(text: str, limits: Limits) -> str:
    """A clip's id: one line in any script."""
    if len(text) > limits.name_chars_max:
        raise BadValue(f"{len(text)} characters are too many", f"keep to {limits.name_chars_max}")
    control = control_character(text)
    if control or "\n" in text or "\r" in text or "\t" in text:
        raise BadValue(
            f"{shown(text)} holds {control or 'a tab or line end'}", "remove that character"
        )
    return text


def other_clips(text: str, limits: Limits) -> tuple[str, ...]:
    """Ids apart by commas or semicolons, each once."""
    if len(text) > limits.cell_chars_max:
        raise BadValue(f"{len(text)} characters are too many", f"keep to {limits.cell_chars_max}")
    found = {part: None for each in re.split("[,;]", text) if (part := each.strip())}
    if not found:
        raise BadValue(f"{shown(text)} names no row", OTHER_ROWS)
    return tuple(found)


def _text(text: str, chars_max: int) -> str:
    if len(text) > chars_max:
        raise BadValue(f"{len(text)} characters are too many", f"keep to {chars_max}")
    if control := control_character(text):
        raise BadValue(
            f"the text holds the control character {control}",
            "remove it, or save the file as UTF-8",
        )
    return text


def _nearest(pixels: int, limits: Limits) -> int:
    rounded = (pixels + SIZE_STEP_PX // 2) // SIZE_STEP_PX * SIZE_STEP_PX
    return min(max(rounded, SIZE_STEP_PX), limits.side_px_max // SIZE_STEP_PX * SIZE_STEP_PX)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"


def _any_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
