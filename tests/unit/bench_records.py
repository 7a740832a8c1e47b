"""Bench records as a card would leave them that is slower than predicted by known factors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.card_table import CARDS
from farm.plan.card_time import AS_PREDICTED, Attention, Corrections, Run, Vae, pass_times, predict
from farm.plan.economics import HELIOS

DISTILLED = HELIOS["distilled"]
EXACT = Run()
NAMES = {"rtx-4060-ti": "NVIDIA GeForce RTX 4060 Ti", "h200": "NVIDIA H200"}


def bench_record(
    card_type: str = "rtx-4060-ti",
    run: Run = EXACT,
    truth: Corrections = AS_PREDICTED,
    *,
    lanes: tuple[int, ...] = (1,),
    steps: tuple[int, int, int] = (1, 1, 1),
    link_rate: float = 0.0,
) -> dict[str, Any]:
    """A record that `docs/bench.schema.json` allows, a case for each number of lanes."""
    card, work = CARDS[card_type], Work(384, 640, steps)
    record: dict[str, Any] = {
        "format_version": 1,
        "measured_at": "2026-11-30T00:00:00+00:00",
        "command": "farm-node bench --random-weights",
        "card": {
            "kind": "cuda",
            "type": card_type,
            "name": NAMES[card_type],
            "bytes_vram_total": card.vram_gib * 2**30,
        },
        "host": {"processor": "x", "cores": 1, "threads": 1, "bytes_ram_total": 1, "system": "x"},
        "versions": dict.fromkeys(("torch", "diffusers", "transformers", "av", "python"), "x"),
        "stack_id": "x",
        "model": {
            "name": "helios-random",
            "variant": "distilled",
            "profile": run.profile.value,
            "weights": "random weights, full size",
            "compiled": True,
            "attention": "sage" if run.attention is Attention.SAGE else "native",
            "placement": "streamed" if run.streamed_bytes else "resident",
            "blocks": 40,
            "blocks_resident": 0 if run.streamed_bytes else 40,
            "bytes_streamed_per_pass": int(run.streamed_bytes),
            "heads": 40,
            "head_dim": 128,
            "ffn_dim": 13824,
        },
        "width": 640,
        "height": 384,
        "load": {"seconds": 1.0, "bytes_rss_peak": 1},
        "cases": [_case(card_type, run, truth, work, each) for each in lanes],
        "decode": [
            {
                "precision": vae.value,
                "seconds_per_chunk": figure(
                    predict(card, Run(vae=vae), DISTILLED, work, truth).vae
                ),
                "bytes_rss_peak": 1,
            }
            for vae in (Vae.FLOAT32, Vae.BFLOAT16)
        ],
        "encode": {"encoder": "x", "seconds_per_chunk": figure(0.1), "bytes_per_chunk": 1},
    }
    if link_rate:
        rates = dict.fromkeys(
            ("to_device_pinned", "to_device_pageable", "to_host_pinned"), figure(1e9 * link_rate)
        )
        record["copy"] = {
            "bytes_copied": 1,
            **{f"bytes_per_second_{way}": rate for way, rate in rates.items()},
        }
    return record


def figure(value: float) -> dict[str, Any]:
    """A measured number without spread."""
    return {"median": value, "min": value, "max": value, "count": 3}


def _case(card_type: str, run: Run, truth: Corrections, work: Work, lanes: int) -> dict[str, Any]:
    card, run = CARDS[card_type], replace(run, lanes=lanes)
    time = predict(card, run, DISTILLED, work, truth)
    return {
        "steps": list(work.steps),
        "lanes": lanes,
        "guidance_scale": 1.0,
        "arithmetic": "bfloat16",
        "vae": run.vae.value,
        "seconds_per_round": figure(lanes * time.seconds),
        "seconds_per_chunk": figure(time.seconds),
        "frames_per_second": CHUNK_FRAMES / time.seconds,
        "stages": [
            {
                "width": 640 // shrink,
                "height": 384 // shrink,
                "passes_per_round": steps,
                "seconds_per_pass": figure(lanes * once.seconds),
            }
            for shrink, steps, once in zip(
                (4, 2, 1), work.steps, pass_times(card, run, DISTILLED, work, truth), strict=True
            )
        ],
        "bytes_rss_peak": 1,
    }
