"""What a fleet is compared with: a settable table, each row with its source. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from farm.plan.economics import H100, RTX_4060_TI, Basis

ARTICLE: Final = "the article (Benchmark Reality Checks)"
AUTHORS: Final = "Helios's authors, arXiv 2603.04379"
OWN_WORD: Final = "quality is published by the model's own authors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparator:
    """Another way to a video; 0 or an empty text is what it has not, or nobody has told."""

    name: str
    title: str = ""
    frames_per_second: float = 0.0
    price: float = 0.0
    """Of the hardware, bought."""
    hardware: str = ""
    """Its type of card: where the house has set that one's price, it goes before `price`."""
    watts: float = 0.0
    """Of that hardware at work."""
    hour_price: float = 0.0
    """Of the hardware, rented."""
    generation_price: float = 0.0
    """In a cloud."""
    second_price: float = 0.0
    """Of a second of video, in a cloud."""
    quality: float = 0.0
    """A score; only those of one benchmark compare."""
    quality_of: str = ""
    """Which benchmark, and who says so."""
    basis: Basis = Basis.PUBLISHED
    """Of the frame rate, and of all else but the hardware's price."""
    price_basis: Basis = Basis.PUBLISHED
    source: str = ""


RENTED: Final = "h100-rented"
CLOUD: Final = "cloud"
"""These two get their prices from the tariff."""

DEFAULTS: Final = (
    Comparator(
        name="h100-bought",
        title="one H100, bought",
        frames_per_second=H100.frames_per_second,
        price=25_000.0,
        hardware="h100",
        watts=700.0,
        quality=6.94,
        quality_of=f"Helios-Distilled, long videos (VBench metrics); {OWN_WORD}",
        source=f"FPS: {AUTHORS}, steps 1,1,1; price: {ARTICLE}",
    ),
    Comparator(
        name=RENTED,
        title="one H100, rented by the hour",
        frames_per_second=H100.frames_per_second,
        source=f"FPS: {AUTHORS}; the hour: setting h100_hour_price, assumed",
    ),
    Comparator(
        name="h100-community",
        title="one H100, as a user measured it",
        frames_per_second=20.89,
        price=25_000.0,
        hardware="h100",
        watts=700.0,
        source=f"a community benchmark of Helios-Distilled; price: {ARTICLE}",
    ),
    Comparator(
        name="rtx-4060-ti-article",
        title="one RTX 4060 Ti, as the article has it",
        frames_per_second=RTX_4060_TI.frames_per_second,
        price=400.0,
        watts=165.0,
        basis=Basis.ESTIMATED,
        source=f"{ARTICLE}: midpoint of 2 to 3 FPS, steps not told; nobody has measured it",
    ),
    Comparator(
        name="sana-video-long",
        title="SANA Video Long, 2B, on one H100",
        frames_per_second=13.24,
        price=25_000.0,
        hardware="h100",
        watts=700.0,
        source=f"{AUTHORS}; another model",
    ),
    Comparator(
        name="cogvideox-13b",
        title="CogVideoX-13B",
        source=f"{ARTICLE} names it; no frame rate or price is told",
    ),
    Comparator(name=CLOUD, title="a cloud, by the generation", source=ARTICLE),
    Comparator(
        name="cloud-article-table",
        title="a cloud, as one table of the article has it",
        generation_price=5.0,
        source=ARTICLE,
    ),
    Comparator(
        name="cloud-by-the-second",
        title="a cloud, by the second of video",
        second_price=20.0 / 60.0,
        source=f"{ARTICLE}: 15 to 25 for 60 s, the middle",
    ),
)
"""What is known without anybody's settings; prices in US dollars."""

_TEXTS: Final = ("title", "hardware", "quality_of", "source")
_NUMBERS: Final = tuple(
    field.name
    for field in fields(Comparator)
    if field.name not in ("name", "basis", "price_basis", *_TEXTS)
)


def comparators_of(table: Mapping[str, Mapping[str, Any]]) -> tuple[Comparator, ...]:
    """The defaults with a house's own in their place, or beside them.

    A row that is set is its owner's word: *assumed* unless it says another `basis`. Raises
    `ValueError` with what is wrong and what could be.
    """
    known = {each.name: each for each in DEFAULTS}
    for name, values in table.items():
        if not name or len(name) > 60:
            raise ValueError(f"{name!r} is no name of a comparator: give 1 to 60 characters")
        usual, own = known.get(name, Comparator(name=name, title=name)), Basis.ASSUMED
        mine = replace(usual, basis=own, price_basis=own, source="setting comparators")
        known[name] = replace(mine, **{key: _value(name, key, v) for key, v in values.items()})
    return tuple(known.values())


def _value(name: str, key: str, value: Any) -> Any:
    if key == "basis":
        try:
            return Basis(value)
        except ValueError:
            raise ValueError(
                f"comparators.{name}.basis {value!r}: give {', '.join(Basis)}"
            ) from None
    if key in _TEXTS:
        if not isinstance(value, str) or len(value) > 300:
            raise ValueError(f"comparators.{name}.{key}: give a text of 300 characters at most")
        return value
    if key not in _NUMBERS:
        allowed = ", ".join((*_NUMBERS, *_TEXTS, "basis"))
        raise ValueError(f"comparators.{name} has no {key!r}: there are {allowed}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1e9:
        raise ValueError(f"comparators.{name}.{key} {value!r}: give a number from 0 to 1e9")
    return number
