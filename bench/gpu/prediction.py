"""What the card model says of the measured cases. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bench.gpu.cases import ONE, STOCK, TWO
from bench.gpu.results import Record, Results, seconds_of
from farm.domain.clip import Work
from farm.plan.card_table import CARDS, Card
from farm.plan.card_time import (
    STOCK_BYTES,
    ChunkTime,
    Corrections,
    Matmul,
    Measured,
    Run,
    Vae,
    block_bytes,
    fitted,
    predict,
)
from farm.plan.economics import HELIOS
from node_agent.telemetry.card_type import card_type

MODEL: Final = HELIOS["distilled"]
STOCK_WEIGHTS: Final = 28.6e9
"""Bytes that stock group offloading streams in every pass: all of them."""
MATMULS: Final = {"exact": Matmul.BF16, "fast": Matmul.INT8, "fast-fp8": Matmul.FP8}
FIT_ON: Final = (("exact-resident", ONE), ("exact-8G", TWO))
"""The two configurations, of one lane, that the card model is fitted on."""
UNCORRECTED: Final = Corrections()


def card_of(results: Results) -> Card | None:
    """The card, where the card model's table has it; a CPU is in no table."""
    about = results.record["card"]
    if not results.full or about["kind"] != "cuda":
        return None
    kind, gib = card_type(about["name"]), round(about["bytes_vram_total"] / 2**30)
    return CARDS.get(f"{kind}-{gib}gb") or CARDS.get(kind)


def predicted(
    results: Results,
    case: Record,
    corrections: Corrections = UNCORRECTED,
    *,
    at_peak: bool = False,
) -> ChunkTime | None:
    """A case's time; with `at_peak` nothing of the card's matrix products and attention is lost.

    None where the model knows no such card or profile.
    """
    card = card_of(results)
    if card is None or case["subject"] not in (STOCK, *MATMULS):
        return None
    card = replace(card, link=card.link / case["copies"])
    if at_peak:
        card = replace(card, matmul_share=1.0, attention_share=1.0)
    try:
        return predict(card, _run(case), MODEL, _work(case), corrections)
    except ValueError:
        return None


def fit(results: Results) -> tuple[Corrections, list[Record]] | None:
    """The card model's corrections by two configurations, and those two; None without them."""
    card = card_of(results)
    found = [results.find([group], steps, lanes=1) for group, steps in FIT_ON]
    on = [cases[0] for cases in found if cases and "parts" in cases[0]]
    if card is None or len(on) != len(FIT_ON):
        return None
    measured = [
        Measured(
            run=_run(case),
            work=_work(case),
            seconds=seconds_of(case),
            vae_seconds=case["parts"]["vae_seconds"],
        )
        for case in on
    ]
    return fitted(card, MODEL, measured), on


def _run(case: Record) -> Run:
    if case["subject"] == STOCK:
        return Run(
            vae=Vae.FLOAT32,
            elementwise_bytes=STOCK_BYTES,
            streamed_bytes=STOCK_WEIGHTS if case["streamed"] else 0.0,
        )
    matmul = MATMULS[case["subject"]]
    travelling = 1 - case["blocks_resident"] / case["blocks"]
    return Run(
        matmul=matmul,
        vae=Vae(case["vae"]),
        streamed_bytes=travelling * block_bytes(MODEL, matmul),
        lanes=case["lanes"],
    )


def _work(case: Record) -> Work:
    return Work(384, 640, tuple(case["steps"]))
