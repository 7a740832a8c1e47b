"""The promises of speed, and whether a card's figures keep them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.gpu.cases import FLAT_CHUNKS, ONE, STOCK, TWO, Case
from bench.gpu.prediction import FIT_ON, card_of, fit, predicted
from bench.gpu.results import (
    Record,
    Results,
    frames_per_second,
    growth,
    ram_peak,
    seconds_of,
    vram_peak,
)
from node_agent.memory_size import memory_size

PASS, FAIL, OWED = "PASS", "FAIL", "owed"
GIB: Final = 2**30
SPEEDUPS: Final = {"fast": 4.0, "exact": 2.0}
"""Over stock streamed, at 8 GB and steps 2,2,2."""
RATES: Final = {"fast": 30.0, "exact": 20.0}
"""Frames a second, resident, at steps 1,1,1, on an H100 or better."""
RAM_GIB: Final = {"fast": 26, "exact": 40}
GROWTH_BYTES_MAX: Final = 64 << 20
"""What counts as flat; the frames of one chunk are 24 MB."""
PREDICTED_WITHIN: Final = 0.15
STREAMING_LOSS_MAX: Final = 0.05
H100_TFLOPS: Final = 900.0
"""Dense bfloat16 peak of a card that counts as an H100."""


@dataclass(frozen=True, slots=True)
class Line:
    """A promise."""

    number: int
    promise: str
    verdict: str
    """PASS, FAIL, or what is owed."""
    figures: str


def lines(results: Results) -> list[Line]:
    """All of them; of a small model on a CPU every verdict is owed."""
    found = list(_lines(results))
    if results.full:
        return found
    return [Line(each.number, each.promise, "owed: no GPU", each.figures) for each in found]


def _lines(results: Results) -> Iterator[Line]:
    for slow in (False, True):
        yield from (_speedup(results, kind, slow) for kind in SPEEDUPS)
    yield from (_rate(results, kind) for kind in RATES)
    yield _caps(results)
    yield from (_ram(results, kind) for kind in RAM_GIB)
    yield _flat(results)
    yield _predictions(results)
    yield _hidden_stream(results)


def _speedup(results: Results, kind: str, slow: bool) -> Line:
    wanted, link = SPEEDUPS[kind], ", link slowed to PCIe 4.0 x8" if slow else ""
    promise = f"8 GB, steps 2,2,2{link}: `{kind}` {wanted:.0f} times stock"
    slow = slow and results.record["slow_link_copies"] > 1
    stock = results.find([f"{STOCK}-8G"], TWO, slow=slow) or results.find(
        [f"{STOCK}-streamed"], TWO, slow=slow
    )
    ours = results.find(_groups(kind, "8G"), TWO, slow=slow)
    if not stock or not ours:
        return _owed(1, promise, "no figures")
    single = [each for each in ours if each["lanes"] == 1]
    ratio = seconds_of(stock[0]) / seconds_of(ours[0])
    figures = f"{ratio:.2f} times with {_who(ours[0])}"
    if single:
        figures += f", {seconds_of(stock[0]) / seconds_of(single[0]):.2f} with one lane"
    if stock[0]["group"] != f"{STOCK}-8G":
        figures += "; stock does not run within 8 GB, and is taken without a cap"
    return _judged(1, promise, ratio >= wanted, figures)


def _rate(results: Results, kind: str) -> Line:
    wanted = RATES[kind]
    promise = f"resident, steps 1,1,1, all included, H100: `{kind}` {wanted:.0f} FPS"
    ours = results.find(_groups(kind, "resident"), ONE)
    if not ours:
        return _owed(2, promise, "no figures")
    best = max(ours, key=frames_per_second)
    figures = f"{frames_per_second(best):.2f} FPS with {_who(best)}"
    card = card_of(results)
    if card is None or card.bf16 < H100_TFLOPS:
        return _owed(2, promise, f"{figures}; not on such a card")
    return _judged(2, promise, frames_per_second(best) >= wanted, figures)


def _caps(results: Results) -> Line:
    promise = "caps of GPU memory are never exceeded"
    capped = [each for each in results.cases if each["cap"] not in ("", "half") and vram_peak(each)]
    ours = [each for each in capped if each["subject"] != STOCK]
    if not ours:
        return _owed(3, promise, "no figures")
    over: dict[str, int] = {}
    for each in ours:
        beyond = vram_peak(each) - memory_size(each["cap"])
        over[each["group"]] = max(beyond, over.get(each["group"], beyond))
    figures = ", ".join(
        f"{group} {-beyond / 1e9:+.2f} GB left" for group, beyond in sorted(over.items())
    )
    return _judged(3, promise, all(beyond <= 0 for beyond in over.values()), figures)


def _ram(results: Results, kind: str) -> Line:
    promise = f"host RAM at its peak, `{kind}`: {RAM_GIB[kind]} GiB"
    ours = [each for each in results.cases if _is(each, kind)]
    if not ours:
        return _owed(3, promise, "no figures")
    worst = max(ours, key=ram_peak)
    figures = f"{ram_peak(worst) / GIB:.1f} GiB in {worst['group']}"
    return _judged(3, promise, ram_peak(worst) <= RAM_GIB[kind] * GIB, figures)


def _flat(results: Results) -> Line:
    promise = f"memory is flat over {FLAT_CHUNKS} chunks"
    long = [
        each
        for each in results.cases
        if each["subject"] != STOCK and len(each["bytes_rss_by_round"]) >= FLAT_CHUNKS
    ]
    if not long:
        return _owed(3, promise, "no case has so many")
    figures = ", ".join(f"{each['group']} {growth(each) / 1e6:+.0f} MB" for each in long)
    return _judged(3, promise, all(growth(each) <= GROWTH_BYTES_MAX for each in long), figures)


def _predictions(results: Results) -> Line:
    on = " and ".join(
        f"{group} {Case(steps=steps, lanes=lanes).name}" for group, steps, lanes in FIT_ON
    )
    promise = f"the card model, fitted on {on}, predicts all others within 15%"
    found = fit(results)
    if found is None:
        return _owed(4, promise, "one of the two is missing, or the card is in no table")
    corrections, used = found
    errors = []
    for case in results.cases:
        time = predicted(results, case, corrections)
        if case not in used and time is not None:
            errors.append((time.seconds / seconds_of(case) - 1, case))
    ours = [each for each in errors if each[1]["subject"] != STOCK]
    if not ours:
        return _owed(4, promise, "there are no others")
    worst = [max(them, key=lambda each: abs(each[0])) for them in (ours, errors)]
    figures = "; ".join(
        f"{whose} {error:+.0%} in {case['group']} {case['case']}"
        for whose, (error, case) in zip(("worst of ours", "of all"), worst, strict=True)
    )
    return _judged(4, promise, abs(worst[0][0]) <= PREDICTED_WITHIN, figures)


def _hidden_stream(results: Results) -> Line:
    promise = "`exact` with half the weights streamed, where computing covers it, loses 5%"
    losses = []
    for half in results.find(["exact-half"], TWO):
        resident = results.find(["exact-resident"], TWO, lanes=half["lanes"])
        time = predicted(results, half)
        if resident:
            loss = 1 - seconds_of(resident[0]) / seconds_of(half)
            covered = time is not None and time.waiting == 0
            losses.append((covered, loss, half))
    if not losses:
        return _owed(5, promise, "no figures")
    figures = ", ".join(
        f"{loss:.1%} with {_who(half)}{'' if covered else ' (the stream takes longer)'}"
        for covered, loss, half in losses
    )
    covered_losses = [loss for covered, loss, _ in losses if covered]
    if not covered_losses:
        return _owed(5, promise, figures)
    return _judged(5, promise, max(covered_losses) < STREAMING_LOSS_MAX, figures)


def _groups(kind: str, where: str) -> list[str]:
    """INT8 and FP8 are both `fast`."""
    return [f"{kind}-{where}", *([f"fast-fp8-{where}"] if kind == "fast" else [])]


def _is(case: Record, kind: str) -> bool:
    return bool(case["subject"] == kind or (kind == "fast" and case["subject"] == "fast-fp8"))


def _who(case: Record) -> str:
    return f"`{case['subject']}`, {case['lanes']} lane{'s' * (case['lanes'] > 1)}"


def _judged(number: int, promise: str, kept: bool, figures: str) -> Line:
    return Line(number, promise, PASS if kept else FAIL, figures)


def _owed(number: int, promise: str, figures: str) -> Line:
    return Line(number, promise, OWED, figures)
