"""docs/gpu.md, written from the files of bench/results/gpu. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.gpu.acceptance import lines
from bench.gpu.cases import STOCK
from bench.gpu.prediction import fit, predicted
from bench.gpu.results import (
    FOLDER,
    Record,
    Results,
    baseline_of,
    frames_per_second,
    growth,
    ram_peak,
    seconds_of,
    vram_peak,
)
from farm.plan.card_time import ChunkTime, Corrections

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "gpu.md"
INTRODUCTION: Final = """\
# On a GPU

What the 14B model does on real cards: the stock diffusers pipeline and ours, measured in one run by
[bench/gpu](../bench/gpu/README.md). Weights are random, which tells speed and memory, not quality.
`python -m bench.gpu --page` writes this page from the files in `bench/results/gpu`; a test holds
them together.
"""
NOTHING: Final = """
**Nothing has been measured yet**: no GPU was at hand. What is expected stands in the
[card model](card-model.md), predicted.
"""
GAPS: Final = """\
The roofline is the vendor's dense peak for matrix products (0.84 of it in 8 bits, which also
quantise what comes in), attention and the VAE, and nine tenths of the memory's bandwidth for the
elementwise work that our forward, or stock's, cannot avoid. What a part reaches of it says where
its gap is from: kernels that do not fill the card or run into its power limit; more traffic than
was counted. *No kernel, copies on their way* is waiting for weights: the link's gap. *Neither
kernels nor copies* is the host's: launches, synchronisation, what Python does between them."""
GB: Final = 1e9
PARTS: Final = {
    "matmul": "matrix products",
    "attention": "attention",
    "elementwise": "elementwise",
    "vae": "VAE",
}


def page(all_results: Iterable[tuple[str, Results]]) -> str:
    """The page, from files by their names."""
    sections = [section(name, results) for name, results in all_results]
    return INTRODUCTION + ("\n".join(["", *sections]) if sections else NOTHING)


def write() -> None:
    """Write it anew."""
    PAGE.write_text(page(committed()))


def committed() -> Iterator[tuple[str, Results]]:
    """The files that it is written from."""
    for path in sorted(FOLDER.glob("*.json")):
        yield path.name, Results.read(path)


def section(name: str, results: Results) -> str:
    """All that one file says."""
    about = results.record
    versions = ", ".join(f"{each} {number}" for each, number in about["versions"].items())
    host = about["host"]
    made = (
        f"*Measured {about['measured_at'][:10]} by `{about['commands'][-1]}` on"
        f" {host['processor']}, {host['bytes_ram_total'] / GB:.0f} GB of RAM; {versions};"
        f" {_link(about)}. All figures: `bench/results/gpu/{name}`.*"
    )
    text = [
        f"## {about['card']['name']}",
        "",
        made,
        "",
        *acceptance_table(results),
        "",
        "### Every case",
        "",
        *cases_table(results),
        "",
        *_notes(results),
        "### Where the time goes",
        "",
        *parts_tables(results),
    ]
    return "\n".join(text).rstrip() + "\n"


def acceptance_table(results: Results) -> list[str]:
    """The promises, and what the figures say of them."""
    return _table(
        ("", "promise", "", "figures"),
        ((str(each.number), each.promise, each.verdict, each.figures) for each in lines(results)),
    )


def cases_table(results: Results) -> list[str]:
    """Pace and memory of every case, the ratio to stock, and the prediction beside it."""
    header = (
        "case", "steps, lanes", "s a chunk", "FPS", "to stock", "predicted FPS", "off",
        "fitted, off", "VRAM GB", "RAM GB", "growth MB", "GPU idle",
    )  # fmt: skip
    found = fit(results)
    corrections = found[0] if found else None
    return _table(header, (_row(results, case, corrections) for case in results.cases))


def parts_tables(results: Results) -> Iterator[str]:
    """For each profiled case: what is spent on what, at the roofline and as measured."""
    profiled = [case for case in results.cases if "parts" in case]
    yield GAPS if profiled else "No case was profiled."
    yield ""
    for case in profiled:
        yield f"**{case['group']}, {case['case']}**, seconds of a chunk of each lane:"
        yield ""
        yield from _parts_table(results, case)
        yield ""
        yield _explained(results, case)
        yield ""


def _row(results: Results, case: Record, corrections: Corrections | None) -> Sequence[str]:
    time = predicted(results, case)
    fitted = predicted(results, case, corrections) if corrections else None
    base = baseline_of(results, case) if case["subject"] != STOCK else None
    parts = case.get("parts")
    return (
        case["group"],
        case["case"],
        f"{seconds_of(case):.3f}",
        f"{frames_per_second(case):.2f}",
        f"{seconds_of(base) / seconds_of(case):.2f}" if base else "",
        f"{time.frames_per_second:.2f}" if time else "",
        _off(case, time),
        _off(case, fitted),
        f"{vram_peak(case) / GB:.2f}" if vram_peak(case) else "",
        f"{ram_peak(case) / GB:.2f}",
        f"{growth(case) / 1e6:.0f}",
        f"{parts['idle_share']:.0%}" if parts else "",
    )


def _off(case: Record, time: ChunkTime | None) -> str:
    return f"{time.seconds / seconds_of(case) - 1:+.0%}" if time else ""


@dataclass(frozen=True, slots=True)
class _Gap:
    """A part of a chunk: seconds as measured, and at the roofline where that is known."""

    part: str
    measured: float
    limit: float | None

    @property
    def seconds(self) -> float:
        return self.measured - (self.limit or 0.0)

    def cells(self) -> tuple[str, ...]:
        if self.limit is None:
            return self.part, "", f"{self.measured:.3f}", "", ""
        reached = f"{self.limit / self.measured:.0%}" if self.limit and self.measured else ""
        seconds = (self.limit, self.measured)
        return self.part, *(f"{each:.3f}" for each in seconds), f"{self.seconds:+.3f}", reached


def _gaps(results: Results, case: Record) -> tuple[list[_Gap], _Gap]:
    """Of each part, and of all together."""
    peak = predicted(results, case, at_peak=True)
    parts, lanes = case["parts"], case["lanes"]
    total = parts["seconds"] / lanes
    waiting, idle = parts["waiting_share"] * total, parts["idle_share"] * total
    gaps = [
        _Gap(word, parts[f"{part}_seconds"] / lanes, getattr(peak, part) if peak else None)
        for part, word in PARTS.items()
    ]
    gaps += [
        _Gap("no kernel, copies on their way", waiting, peak.waiting if peak else None),
        _Gap("neither kernels nor copies", idle - waiting, 0.0 if peak else None),
    ]
    return gaps, _Gap("all, profiled", total, peak.seconds if peak else None)


def _parts_table(results: Results, case: Record) -> list[str]:
    gaps, total = _gaps(results, case)
    header = ("", "roofline", "measured", "gap", "reached")
    return _table(header, (gap.cells() for gap in [*gaps, total]))


def _explained(results: Results, case: Record) -> str:
    """The gap to the roofline in words."""
    gaps, total = _gaps(results, case)
    copies = case["parts"]["copies_seconds"] / case["lanes"]
    slower = total.measured / seconds_of(case) - 1
    words = [
        f"Copies between host and card took {copies:.3f} s, beside the kernels or not.",
        f"The profiled round took {slower:+.0%} against the timed ones.",
    ]
    if total.limit is not None:
        ranked = sorted(gaps, key=lambda gap: -gap.seconds)
        shares = ", ".join(f"{gap.part} {gap.seconds:+.3f} s" for gap in ranked)
        words.insert(0, f"{total.seconds:.3f} s above the roofline: {shares}.")
    return " ".join(words)


def _notes(results: Results) -> Iterator[str]:
    """What has no figures, and why; how to read the others."""
    times = results.record["slow_link_copies"]
    yield (
        "*A chunk is 33 frames at 640x384, VAE included; FPS are of the whole card, the video"
        " encoder at work beside it. `slow link`: every copy of weights is made"
        f" {times} times. VRAM is what the driver says, of all that use the card; RAM what the"
        " machine has in use beyond what it had before, loading included. Growth is since the"
        " second chunk.*"
    )
    yield ""
    for case in results.without:
        why = case.get("failed") or case.get("skipped")
        state = "failed" if "failed" in case else "skipped"
        yield f"- {case['group']}, {case['case']}: {state}: {why}"
    if results.without:
        yield ""


def _link(about: Record) -> str:
    if "copy" not in about:
        return "no link"
    rate = about["copy"]["bytes_per_second_to_device_pinned"]["median"]
    return f"{rate / GB:.1f} GB/s from page-locked memory to the card"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
