"""What the card model says of the measured cases. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bench.gpu.cases import ONE, STOCK, TWO
from bench.gpu.results import Record, Results, seconds_of
from farm.domain.clip import Work
from farm.plan import card_table
from farm.plan.card_fit import Measured, fitted
from farm.plan.card_table import Card
from farm.plan.card_time import (
    AS_PREDICTED,
    COMPILED_BYTES,
    EAGER_BYTES,
    STOCK_BYTES,
    VAE_SHARE,
    Attention,
    ChunkTime,
    Corrections,
    Profile,
    Run,
    Vae,
    predict,
)
from farm.plan.economics import HELIOS

MODEL: Final = HELIOS["distilled"]
FIT_ON: Final = (("exact-resident", ONE, 1), ("fast-8G", TWO, 1))
"""The two configurations that the card model is fitted on: group, steps, lanes. One shows what
computing takes, the other the link and 8-bit arithmetic, for its passes are short and long."""


def card_of(results: Results) -> Card | None:
    """The card, where the card model's table has it; a CPU is in no table."""
    about = results.record["card"]
    if not results.full or about["kind"] != "cuda":
        return None
    return card_table.card_of(about["type"], about["bytes_vram_total"])


def predicted(
    results: Results,
    case: Record,
    corrections: Corrections = AS_PREDICTED,
    *,
    at_peak: bool = False,
) -> ChunkTime | None:
    """A case's time; with `at_peak` it reaches the card's peak in all but 8 bits and elementwise.

    None where the model knows no such card or profile.
    """
    card = card_of(results)
    if card is None or case["subject"] not in (STOCK, *Profile):
        return None
    card = replace(card, link=card.link / case["copies"])
    if at_peak:
        card = replace(card, matmul_share=1.0, attention_share=1.0)
    try:
        time = predict(card, run_of(case), MODEL, _work(case), corrections)
    except ValueError:
        return None
    return replace(time, vae=time.vae * VAE_SHARE) if at_peak else time


def fit(results: Results) -> tuple[Corrections, list[Record]] | None:
    """The card model's corrections by two configurations, and those two; None without them."""
    card = card_of(results)
    found = [results.find([group], steps, lanes=lanes) for group, steps, lanes in FIT_ON]
    decodes = _decodes(results)
    on = [cases[0] for cases in found if cases and _vae(cases[0]) in decodes]
    if card is None or len(on) != len(FIT_ON):
        return None
    measured = [
        Measured(
            model=MODEL,
            run=run_of(case),
            work=_work(case),
            passes=tuple(
                stage["seconds_per_pass"]["median"] / case["lanes"] for stage in case["stages"]
            ),
            decodes=decodes,
            seconds=seconds_of(case),
        )
        for case in on
    ]
    rate = results.record["copy"]["bytes_per_second_to_device_pinned"]["median"]
    return fitted(card, measured, rate / 1e9).corrections, on


def _vae(case: Record) -> Vae:
    """In tiles it is the same work, but for their seams."""
    return Vae(case["vae"].removesuffix("-tiled"))


def _decodes(results: Results) -> dict[Vae, float]:
    """Seconds of the VAE for a chunk, of the first case that was profiled with each."""
    decodes: dict[Vae, float] = {}
    for case in results.cases:
        if "parts" in case:
            decodes.setdefault(_vae(case), case["parts"]["vae_seconds"] / case["lanes"])
    return decodes


def run_of(case: Record) -> Run:
    """How the model was run, in the card model's words."""
    run = Run(
        vae=_vae(case),
        streamed_bytes=case["bytes_streamed_per_pass"],
        lanes=case["lanes"],
    )
    if case["subject"] == STOCK:
        return replace(run, elementwise_bytes=STOCK_BYTES)
    sage = case["subject"] != Profile.EXACT and any("sage" in word for word in case["stack_words"])
    return replace(
        run,
        elementwise_bytes=EAGER_BYTES if case["eager"] else COMPILED_BYTES,
        profile=Profile(case["subject"]),
        attention=Attention.SAGE if sage else Attention.BF16,
    )


def _work(case: Record) -> Work:
    return Work(384, 640, tuple(case["steps"]))
