"""Which column of a file is which of our fields, which is the batch's own, which a slip of the pen.

Names are compared trimmed, in any case, with spaces and hyphens as underscores. A column that is
none of ours is kept as the clip's own data; one that nearly is one of ours would silently change
what is rendered, so it is refused until the user says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from farm.domain.spec import Problem
from farm.domain.values import shown

FIELDS: Final = (
    "id",
    "after",
    "prompt",
    "negative_prompt",
    "frames",
    "size",
    "width",
    "height",
    "fps",
    "seed",
    "steps",
    "guidance_scale",
    "quality",
    "mode",
    "image",
    "video",
    "schedule",
    "blend_chunks",
    "lora",
    "skip_first_chunk",
    "amplify_first_chunk",
    "image_noise",
    "video_noise",
)
"""What a row can say about its clip."""

OWN: Final = ""
"""Stands for a field where a column is the batch's own."""

# One slip away from a field, but words of their own that a production's sheet may well use.
_INNOCENT: Final = frozenset(
    {"alter", "model", "weight", "quantity", "flames", "flora", "scheduled", "scheduler"}
)

_SYNONYMS: Final = {
    "depends_on": "after",
    "dependencies": "after",
    "caption": "prompt",
    "text": "prompt",
    "negative": "negative_prompt",
    "neg_prompt": "negative_prompt",
    "duration": "frames",
    "length": "frames",
    "num_frames": "frames",
    "frame_count": "frames",
    "resolution": "size",
    "frame_rate": "fps",
    "framerate": "fps",
    "num_inference_steps": "steps",
    "cfg": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "guidance": "guidance_scale",
    "image_path": "image",
    "init_image": "image",
    "input_image": "image",
    "start_image": "image",
    "first_frame": "image",
    "video_path": "video",
    "init_video": "video",
    "input_video": "video",
    "start_video": "video",
    "prompt_schedule": "schedule",
    "interactive_prompts": "schedule",
    "interpolation_steps": "blend_chunks",
    "lora_name": "lora",
    "lora_path": "lora",
    "is_skip_first_chunk": "skip_first_chunk",
    "is_amplify_first_chunk": "amplify_first_chunk",
    "image_noise_sigma": "image_noise",
    "video_noise_sigma": "video_noise",
}
"""Names that others use for our fields: kept as own data, with a warning."""


@dataclass(slots=True)
class ColumnTable:
    """Columns by field, resolved once each; problems and warnings gather on the way."""

    column_map: Mapping[str, str]
    """The file's column → our field, or → itself to keep it as own data."""
    set_fields: frozenset[str] = frozenset()
    """Fields that are the same for all rows, whatever the file says."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    """Column → field, or `OWN`."""
    _mapped: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for column, target in self.column_map.items():
            setting = f"--map {column}={target}"
            wanted = normal(target)
            if wanted not in FIELDS and wanted != normal(column):
                self.problems.append(
                    Problem(0, setting, f"there is no field {shown(target)}", _fields(wanted))
                )
            else:
                self._mapped[normal(column)] = wanted if wanted in FIELDS else OWN

    def add_header(self, columns: Sequence[str]) -> None:
        """Resolve a whole header; also says which mapped columns it lacks."""
        first: dict[str, str] = {}
        for column in columns:
            target = self.resolve(column, row=1)
            if target == OWN:
                continue
            if target in first:
                self.problems.append(two_columns(1, column, first[target], target))
            first.setdefault(target, column)
        self._report_unused(f"its columns are {', '.join(map(shown, columns[:20]))}")

    def resolve(self, column: str, row: int) -> str:
        """The column's field, or `OWN`; a near miss counts as the field that it misses."""
        known = self.fields.get(column)
        if known is not None:
            return known
        key = normal(column)
        self._seen.add(key)
        if key in self._mapped:
            target = self._mapped[key]
        elif key == "id" and "id" in self._mapped.values():
            target = OWN  # A tracker's own number, beside the name that was meant.
        elif key in FIELDS:
            target = key
        else:
            target = near_miss(key)
            if target:
                self.problems.append(
                    Problem(
                        row,
                        column,
                        f"{shown(column)} is no column of ours but close to {shown(target)}",
                        f"rename it, or use --map {column}={target}, or --map {column}={column}"
                        " to keep it as your own data",
                    )
                )
            elif synonym := _SYNONYMS.get(key):
                self._warn_of_synonym(column, synonym, row)
        self.fields[column] = target
        return target

    def finish(self) -> None:
        """For files without a header, after the last row: mapped columns that never came."""
        self._report_unused("no row has it")

    def _warn_of_synonym(self, column: str, target: str, row: int) -> None:
        if target not in self.set_fields and target not in self._mapped.values():
            self.warnings.append(
                Problem(
                    row,
                    column,
                    f"{shown(column)} is kept as your own data",
                    f"if it means {target}, use --map {column}={target}",
                )
            )

    def _report_unused(self, why: str) -> None:
        for column, target in self.column_map.items():
            key = normal(column)
            if key in self._mapped and key not in self._seen:
                self.problems.append(
                    Problem(
                        0,
                        f"--map {column}={target}",
                        f"the file has no column {shown(column)}",
                        f"name one that it has ({why})",
                    )
                )
                self._seen.add(key)


def two_columns(row: int, column: str, other: str, target: str) -> Problem:
    """Two columns which both say the same thing of a clip."""
    return Problem(
        row,
        column,
        f"{shown(other)} and {shown(column)} both give {target}",
        "keep one of them, remove or rename the other",
    )


def normal(name: str) -> str:
    """A column's name as it is compared."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def near_miss(key: str) -> str:
    """The field that a normalised name nearly is, or `OWN`.

    One slip (a letter too many, too few, wrong, or two swapped), two in longer names that are
    not shorter than the field. Short fields forgive less, for "site" and "node" are words.
    """
    if key in _INNOCENT:
        return OWN
    for name in FIELDS:
        if abs(len(name) - len(key)) > 2:
            continue
        slips = edit_distance(key, name)
        if len(name) <= 3:
            close = key == f"{name}s" or (
                len(key) == len(name) == 3 and sorted(key) == sorted(name)
            )
        elif len(name) == 4:
            close = slips == 1 and (len(key) != 4 or sorted(key) == sorted(name))
        elif len(name) == 5:
            close = slips == 1
        else:
            close = slips == 1 or (slips == 2 and len(key) >= len(name) and key[0] == name[0])
        if close:
            return name
    return OWN


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


def _fields(wanted: str) -> str:
    near = near_miss(wanted)
    hint = f"did you mean {near}? " if near else ""
    return f"{hint}use one of {', '.join(FIELDS)}"
