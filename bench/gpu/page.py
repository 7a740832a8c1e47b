"""docs/gpu.md, written from the files of bench/results/gpu. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    if not profiled:
        yield "No case was profiled."
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


def _parts_table(results: Results, case: Record) -> list[str]:
    peak = predicted(results, case, at_peak=True)
    parts, lanes = case["parts"], case["lanes"]
    rows = []
    for part, word in PARTS.items():
        measured = parts[f"{part}_seconds"] / lanes
        limit = getattr(peak, part) if peak else None
        rows.append((word, *_against(measured, limit)))
    waiting = parts["waiting_share"] * parts["seconds"] / lanes
    idle = parts["idle_share"] * parts["seconds"] / lanes - waiting
    rows.append(
        ("no kernel, copies on their way", *_against(waiting, peak.waiting if peak else None))
    )
    rows.append(("neither kernels nor copies", *_against(idle, 0.0 if peak else None)))
    total = parts["seconds"] / lanes
    rows.append(("all, profiled", *_against(total, peak.seconds if peak else None)))
    return _table(("", "roofline", "measured", "gap"), rows)


def _against(measured: float, limit: float | None) -> tuple[str, str, str]:
    if limit is None:
        return "", f"{measured:.3f}", ""
    return f"{limit:.3f}", f"{measured:.3f}", f"{measured - limit:+.3f}"


def _explained(results: Results, case: Record) -> str:
    """The gap to the roofline in words."""
    parts, lanes = case["parts"], case["lanes"]
    slower = parts["seconds"] / lanes / seconds_of(case) - 1
    copies = parts["copies_seconds"] / lanes
    words = [
        f"Copies between host and card took {copies:.3f} s, beside the kernels or not.",
        f"The profiled round took {slower:+.0%} against the timed ones.",
    ]
    peak = predicted(results, case, at_peak=True)
    if peak is not None:
        lost = {
            word: parts[f"{part}_seconds"] / lanes - getattr(peak, part)
            for part, word in PARTS.items()
        }
        lost["a GPU without work"] = parts["idle_share"] * parts["seconds"] / lanes - peak.waiting
        total = parts["seconds"] / lanes - peak.seconds
        ranked = sorted(lost.items(), key=lambda each: -each[1])
        shares = ", ".join(f"{word} {gap:+.3f} s" for word, gap in ranked)
        words.insert(0, f"{total:.3f} s above the roofline: {shares}.")
    return " ".join(words)


def _notes(results: Results) -> Iterator[str]:
    """What has no figures, and why; how to read the others."""
    times = results.record["slow_link_copies"]
    yield (
        "*A chunk is 33 frames at 640x384, VAE included; FPS are of the whole card, the video"
        " encoder at work beside it. `slow link`: every copy of weights is made"
        f" {times} times. VRAM is what the driver says, of all that use the card; RAM what the"
        " machine has in use beyond what it had before, loading included. Growth is since the"
        " second chunk. The roofline takes the vendor's dense peaks for matrix products and"
        " attention, nine tenths of the memory's bandwidth, and for the VAE 0.36 of the peak, as"
        " published.*"
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
