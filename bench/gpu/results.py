"""What was measured, as it is kept in bench/results/gpu."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.gpu.cases import STOCK, Steps
from farm.domain.clip import CHUNK_FRAMES
from node_agent.files import write_atomic

FORMAT_VERSION: Final = 1
FOLDER: Final = Path(__file__).resolve().parents[1] / "results" / "gpu"

Record = dict[str, Any]


class OtherPlaceError(Exception):
    """A file's earlier figures are of another card or other versions."""


@dataclass(frozen=True, slots=True)
class Results:
    """One card's file."""

    record: Record

    @classmethod
    def read(cls, path: Path) -> Results:
        """Of a file."""
        return cls(json.loads(path.read_text()))

    @classmethod
    def new(cls, scale: str) -> Results:
        """Nothing yet."""
        return cls({"format_version": FORMAT_VERSION, "scale": scale, "commands": [], "cases": []})

    def write(self, path: Path) -> None:
        """As it is now."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(self.record, indent=1).encode() + b"\n")

    def measured_on(self, about: Record) -> None:
        """Say where. Raises `OtherPlaceError`."""
        if "card" in self.record:
            before, now = _place(self.record), _place(about)
            if before != now:
                raise OtherPlaceError(
                    f"earlier figures are of {before}, these would be of {now}; name another --out"
                )
        self.record.update(about)

    def add(self, case: Record) -> None:
        """A case, in place of an earlier one of its name; but figures stay if it has none."""
        cases = self.record["cases"]
        before = [each for each in cases if _key(each) == _key(case)]
        if _has_figures(case) or not any(map(_has_figures, before)):
            cases[:] = [each for each in cases if each not in before] + [case]

    @property
    def full(self) -> bool:
        """Of the 14B model, on a GPU."""
        return bool(self.record["scale"] == "full")

    @property
    def cases(self) -> list[Record]:
        """All that have figures."""
        return [each for each in self.record["cases"] if _has_figures(each)]

    @property
    def done(self) -> set[tuple[str, str]]:
        """The names of group and case of all that have figures."""
        return {_key(each) for each in self.cases}

    @property
    def without(self) -> list[Record]:
        """Those that failed or had no time."""
        return [each for each in self.record["cases"] if not _has_figures(each)]

    def find(
        self,
        groups: Iterable[str],
        steps: Steps,
        *,
        lanes: int | None = None,
        slow: bool = False,
    ) -> list[Record]:
        """The cases of these groups that have figures, the fastest first."""
        return sorted(
            (
                each
                for each in self.cases
                if each["group"] in groups
                and tuple(each["steps"]) == steps
                and lanes in (None, each["lanes"])
                and each["slow"] == slow
            ),
            key=seconds_of,
        )


def seconds_of(case: Record) -> float:
    """Of a chunk of one lane."""
    return float(case["seconds_per_chunk"]["median"])


def frames_per_second(case: Record) -> float:
    """With all parts: segments are encoded beside the next chunk, and may take longer than it."""
    encode = case.get("encode_seconds_per_chunk", {"median": 0.0})["median"]
    return CHUNK_FRAMES / max(seconds_of(case), float(encode))


def baseline_of(results: Results, case: Record) -> Record | None:
    """Stock under the same cap where it is streamed, and else resident; of the same steps and link.

    Where stock did not run under that cap, it is stock streamed without one.
    """
    groups = [f"{STOCK}-resident"]
    if case["streamed"]:
        groups = [f"{STOCK}-{case['cap']}", f"{STOCK}-8G", f"{STOCK}-streamed"]
    for group in groups:
        found = results.find([group], tuple(case["steps"]), slow=case["slow"])
        if found:
            return found[0]
    return None


def vram_peak(case: Record) -> int:
    """Bytes of GPU memory in use at most, loading included; 0 without a GPU."""
    return int(max(case["load"].get("bytes_vram_peak", 0), *case["bytes_vram_by_round"]))


def ram_peak(case: Record) -> int:
    """Bytes of host memory that were taken at most, loading included."""
    peak = max(case["load"]["bytes_ram_peak"], *case["bytes_ram_by_round"])
    return int(peak - case["load"]["bytes_ram_before"])


def growth(case: Record) -> int:
    """Bytes by which memory has grown since the second round: of the process, or of the GPU."""
    return max(
        _grown(case["bytes_rss_by_round"]),
        _grown(case["bytes_vram_by_round"]),
    )


def _grown(series: Sequence[int]) -> int:
    return max(series[1:]) - series[1] if len(series) > 1 else 0


def _place(about: Record) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{about['card']['name']} with {versions}"


def _key(case: Mapping[str, Any]) -> tuple[str, str]:
    return case["group"], case["case"]


def _has_figures(case: Mapping[str, Any]) -> bool:
    return "seconds_per_chunk" in case
