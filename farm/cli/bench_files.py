"""Records of `farm-node bench`, as files on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from farm.plan.bench_record import Calibration

Bench = Annotated[
    list[Path] | None,
    typer.Option(
        "--bench",
        metavar="FILE",
        help="What `farm-node bench --out FILE` measured; may be repeated.",
    ),
]


def read_calibrations(files: Sequence[Path]) -> dict[str, Calibration]:
    """By type of card, what the records make of its predictions.

    Raises `BadRecord` and `OSError`.
    """
    from farm.plan.bench_record import BadRecord, calibrations, card_record

    records = []
    for file in files:
        try:
            value = json.loads(file.read_bytes())
        except ValueError as error:
            raise BadRecord(
                f"{file}: this is no JSON ({error}); write one with `farm-node bench --out FILE`"
            ) from None
        records.append(card_record(str(file), value))
    return calibrations(records)
