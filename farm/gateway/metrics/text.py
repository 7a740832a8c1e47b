"""Prometheus's text format, written directly: with thousands of cards a page has 100,000 lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

PREFIX: Final = "heliostat_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_text(labels: Mapping[str, str]) -> str:
    """`{name="value",…}`, names in order; empty where there is none."""
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


class Family:
    """A metric with its samples. Its name is complete, but for the prefix."""

    __slots__ = ("_lines", "kind", "name", "text")

    def __init__(self, name: str, kind: Literal["counter", "gauge", "summary"], text: str) -> None:
        self.name = PREFIX + name
        self.kind = kind
        self.text = text
        self._lines: list[str] = []

    def add(self, value: float | None, /, suffix: str = "", **labels: str) -> None:
        """A sample; None is absent."""
        self.put(label_text(labels), value, suffix)

    def put(self, labels: str, value: float | None, suffix: str = "") -> None:
        """The same with the labels as `label_text` has them."""
        if value is not None:
            self._lines.append(f"{self.name}{suffix}{labels} {float(value)!r}\n")

    def lines(self) -> Iterator[str]:
        """As they stand on the page; none where there is no sample."""
        if self._lines:
            yield f"# HELP {self.name} {self.text}\n# TYPE {self.name} {self.kind}\n"
            yield from self._lines


def counter(name: str, text: str, value: float | None = None) -> Family:
    """A counter, `_total` in its name, with one sample unless its value is None."""
    return _family(Family(name, "counter", text), value)


def gauge(name: str, text: str, value: float | None = None) -> Family:
    """A gauge, likewise."""
    return _family(Family(name, "gauge", text), value)


def summary(name: str, text: str, total: float | None, count: int | None) -> Family:
    """A sum with its count."""
    family = Family(name, "summary", text)
    family.add(total, "_sum")
    family.add(count, "_count")
    return family


def _family(family: Family, value: float | None) -> Family:
    family.add(value)
    return family


def ratio(part: float, whole: float) -> float | None:
    """None where there is no whole."""
    return part / whole if whole > 0 else None
