"""What `RowChecker` is made of: readers of fields, names that must differ, the size of a frame."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from farm.domain import modes, values
from farm.domain.columns import FIELDS, near_miss, normal
from farm.domain.inputs import source
from farm.domain.names import folded
from farm.domain.schedule import blend_chunks, entries
from farm.domain.spec import Problem
from farm.domain.tokens import TokenLimit
from farm.domain.values import BadValue, Limits, shown

DEFAULT_SIZE: Final = (640, 384)
"""Width and height in pixels: the size that Helios was trained at."""

Readers = Mapping[str, Callable[[str], Any]]
"""Field → text to value, raising `BadValue`."""

Given = Mapping[str, tuple[str, str]]
"""Field → the column that gives it in this row, and its text."""


def readers(limits: Limits) -> Readers:
    """A reader for each of `FIELDS`."""
    return {
        "id": lambda text: values.clip_name(text, limits),
        "after": lambda text: values.other_clips(text, limits),
        "prompt": lambda text: values.prose(text, limits),
        "negative_prompt": lambda text: values.prose(text, limits),
        "frames": lambda text: values.whole_number(text, 1, limits.frames_max),
        "size": lambda text: values.size(text, limits),
        "width": lambda text: values.side(text, limits),
        "height": lambda text: values.side(text, limits),
        "fps": lambda text: values.whole_number(text, 1, limits.fps_max),
        "seed": lambda text: values.whole_number(text, 0, values.SEED_MAX),
        "steps": lambda text: values.steps(text, limits),
        "guidance_scale": lambda text: values.guidance_scale(text, limits),
        "quality": values.quality,
        "mode": values.mode,
        "image": lambda text: source(text, limits),
        "video": lambda text: source(text, limits),
        "schedule": lambda text: entries(text, limits),
        "blend_chunks": blend_chunks,
        "lora": lambda text: modes.loras(text, limits),
        "skip_first_chunk": modes.flag,
        "amplify_first_chunk": modes.flag,
        "image_noise": modes.sigma_range,
        "video_noise": modes.sigma_range,
    }


def read_settings(
    set_fields: Mapping[str, str], read: Readers, tokens: TokenLimit | None
) -> tuple[dict[str, Any], list[Problem]]:
    """Values for all rows, and what is wrong with them; a size becomes width and height."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, text in set_fields.items():
        name = normal(key)
        try:
            found[name] = _setting(name, key, text.strip(), read, tokens)
        except BadValue as bad:
            setting = f"--set {key}={text if len(text) <= 40 else '…'}"
            problems.append(Problem(0, setting, bad.what, bad.remedy))
    if "size" in found:
        found["width"], found["height"] = found.pop("size")
    return found, problems


def _setting(name: str, key: str, text: str, read: Readers, tokens: TokenLimit | None) -> Any:
    if name not in FIELDS:
        near = near_miss(name)
        hint = f"did you mean {near}? " if near else ""
        fields = ", ".join(field for field in FIELDS if field not in ("id", "after"))
        raise BadValue(f"there is no field {shown(key)}", f"{hint}use one of {fields}")
    if name == "id":
        raise BadValue("the id cannot be the same for all", "give each row its own")
    if name == "after":
        raise BadValue("clips cannot all wait for one of them", "use --after BATCH, or a column")
    if not text:
        raise BadValue("the value is empty", "write one after the =")
    value = read[name](text)
    if tokens and "prompt" in name and (over := tokens.over([text])):
        raise too_many_tokens(over[0], tokens.limit)
    if tokens and name == "schedule" and (over := tokens.over([each.prompt for each in value])):
        at, count = next(iter(over.items()))
        raise too_many_tokens(count, tokens.limit, f" at {value[at].mark}")
    return value


def too_many_tokens(tokens: int, limit: int, where: str = "") -> BadValue:
    """What is wrong with a prompt that the model would cut."""
    return BadValue(
        f"the prompt{where} has {tokens} tokens and the model reads {limit}",
        f"shorten it by {tokens - limit} tokens or more",
    )


class Names:
    """Names of a batch's clips, which must differ in more than case: they become file names."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._rows = array("I")
        """By place, from 0 on."""
        self._spelled: dict[str, str] = {}

    def take(self, name: str, row: int, ordinal: int) -> tuple[int, str] | None:
        """None when the name is free; else the row that has it, and how that row spells it.

        `ordinal` is the row's place in the batch; places ascend.
        """
        if other := self.holder(name):
            return other
        like = folded(name)
        self._rows.extend([0] * (ordinal - 1 - len(self._rows)))
        self._rows.append(row)
        self._places[like] = ordinal
        if like != name:
            self._spelled[like] = name
        return None

    def holder(self, name: str) -> tuple[int, str] | None:
        """The row that has the name, and how it spells it; None when it is free."""
        like = folded(name)
        place = self._places.get(like)
        if place is None:
            return None
        return self._rows[place - 1], self._spelled.get(like, like)

    def place(self, name: str) -> int | None:
        """The place in the batch of the row with this name, however it is spelled."""
        return self._places.get(folded(name))

    def spelled(self, places: Collection[int]) -> dict[int, str]:
        """The names of some rows by their places, as they spell them."""
        return {
            place: self._spelled.get(like, like)
            for like, place in self._places.items()
            if place in places
        }


def frame_size(
    row: int, given: Given, got: Mapping[str, Any], settings: Mapping[str, Any], limits: Limits
) -> tuple[int, int] | Problem:
    """Width and height of a row: its size, or its width and height; settings come first."""
    sides = [name for name in ("width", "height") if name in given]
    size = got.get("size", DEFAULT_SIZE)
    own = (got.get("width", size[0]), got.get("height", size[1]))
    column = given[sides[0]][0] if sides else given["size"][0] if "size" in given else ""
    if "size" in given and sides and own != size:
        what = f"it contradicts the size {size[0]}x{size[1]}"
        return Problem(row, column, what, "keep size, or width and height")
    if len(sides) == 1 and "size" not in given:
        missing = "height" if sides == ["width"] else "width"
        if missing not in settings:
            return Problem(row, column, f"there is no {missing} with it", "give both, or size")
    width, height = settings.get("width", own[0]), settings.get("height", own[1])
    try:
        values.check_pixels(width, height, limits)
    except BadValue as bad:
        return Problem(row, column, bad.what, bad.remedy)
    return width, height


def derived_seed(batch_name: str, clip_name: str) -> int:
    """The seed of a row that names none: the same file renders the same pictures again."""
    digest = hashlib.sha256(f"{batch_name}/{clip_name}".encode()).digest()
    return int.from_bytes(digest[:4])
