"""Write docs/reality-check.md: each claim of the article, and what was measured or computed here.

    python tools/reality_check.py

Made of the farm's own arithmetic (farm/plan/money) and of the files in bench/results; its words are
in reality_check.md.j2, and a test holds page, arithmetic and measurements together. What is not
measured on a real RTX 4060 Ti says *predicted*.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from bench.gpu.page import committed
from bench.gpu.results import Results, frames_per_second
from farm.plan.card_table import CARDS
from farm.plan.card_time import (
    STOCK_BYTES,
    Attention,
    Profile,
    Run,
    Vae,
    offloaded,
    predict,
    roofline,
)
from farm.plan.economics import H100, HELIOS, tflop_per_chunk
from farm.plan.money.article import (
    CARD_PRICE,
    CLOUD_AVERAGE,
    ELECTRICITY,
    H100_PRICE,
    OURS_RAM_GB,
    cards_bought,
    chunks_of_seconds,
    electricity_of,
    nodes_bought,
    tier_years,
    weekly_year,
)
from farm.plan.money.compression import PARAMETERS, claimed_factors, saving, stages_of
from farm.plan.money.payback import TIERS, break_even, duration_tax_rate, verdict
from farm.plan.money.scenario import Prices, Scenario
from farm.plan.tariff import Tariff

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "reality-check.md"
TEMPLATE: Final = Path(__file__).with_name("reality_check.md.j2")
CARD: Final = "rtx-4060-ti"
MODEL: Final = HELIOS["distilled"]
WORK: Final = H100.work


@dataclass(frozen=True, slots=True)
class Rate:
    """Frames a second of one RTX 4060 Ti at the H100's published work."""

    value: float
    known: str
    """`measured` or `predicted`."""
    how: str


def page(measured: Sequence[tuple[str, Results]], results: Path) -> str:
    """The whole page, from the GPU files by name and the folder of the other results."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    rate = rate_of_card(measured)
    values = {
        **_speed(rate, measured),
        **_together(results),
        **_money(rate.value),
        **_compression(),
        "tests": "`pytest tests/unit/plan/test_article.py`",
    }
    return environment.from_string(TEMPLATE.read_text()).render(values)


def rate_of_card(measured: Sequence[tuple[str, Results]]) -> Rate:
    """The fastest that was measured on a real one, else what is predicted for `exact`."""
    for name, found in measured:
        if is_card(found) and (best := _best(found)):
            return Rate(best, "measured", f"bench/results/gpu/{name}")
    return Rate(_predicted(Run()), "predicted", f"`farm speed {CARD}`")


def is_card(found: Results) -> bool:
    """It is of an RTX 4060 Ti, of 16 GB or 8."""
    return str(found.record["card"]["type"]).startswith(CARD)


def _best(found: Results) -> float:
    """Of the 14B model, with the steps that the H100's rate was published for; 0 of others."""
    rates = [
        frames_per_second(case)
        for case in found.cases
        if found.full and tuple(case["steps"]) == WORK.steps and not case["slow"]
    ]
    return max(rates, default=0.0)


def _predicted(run: Run) -> float:
    card = CARDS[CARD]
    return predict(card, offloaded(card, run, MODEL), MODEL, WORK).frames_per_second


def _speed(rate: Rate, measured: Sequence[tuple[str, Results]]) -> dict[str, Any]:
    return {
        "rate": rate.value,
        "known": rate.known,
        "how": rate.how,
        "stock": _predicted(Run(vae=Vae.FLOAT32, elementwise_bytes=STOCK_BYTES)),
        "exact": _predicted(Run()),
        "fast": _predicted(Run(profile=Profile.FAST, attention=Attention.SAGE)),
        "limit": roofline(CARDS[CARD].bf16, MODEL, WORK),
        "others": [
            (found.record["card"]["name"], best, f"bench/results/gpu/{name}")
            for name, found in measured
            if not is_card(found) and (best := _best(found))
        ],
        "bought": f"{H100_PRICE / CARD_PRICE:g}",
        "cards": cards_bought(),
        "nodes": nodes_bought(Tariff().host_price),
        "host": Tariff().host_price,
    }


def _together(results: Path) -> dict[str, Any]:
    """Whether many cards together are as fast as their sum, and what the farm takes for itself."""

    def told(name: str) -> Any:
        return json.loads((results / f"{name}.json").read_text())

    ratios = [mix["ratio"] for mix in told("scheduling")["mixes"]]
    return {
        "fleet": max(told("simulation")["exchanges"], key=lambda each: each["cards"]),
        "mixes": len(ratios),
        "ratio": fmean(ratios),
        "clip_ms": told("throughput")["fast"]["ms_per_clip"],
    }


def _money(rate: float) -> dict[str, Any]:
    tariff, watts = Tariff(), CARDS[CARD].watts
    five, minute = chunks_of_seconds(5), chunks_of_seconds(60)
    power = [electricity_of(each, rate, watts, tariff.electricity_price) for each in (5, 60)]
    node, seconds = CARD_PRICE + tariff.host_price, five * 33 / rate
    return {
        "ram": OURS_RAM_GB,
        "five": five,
        "minute": minute,
        "power": power,
        "watts": watts,
        "price": tariff.electricity_price,
        "tiers": [
            {
                "name": tier.name,
                "monthly": tier.monthly,
                "cloud": year.cloud,
                "own": year.own,
                "saved": year.saved,
                "tax": (tax := duration_tax_rate(CLOUD_AVERAGE, tier.monthly, CARD_PRICE)),
                "verdict": verdict(tax).value,
                "stakeholder": tier.stakeholder,
            }
            for tier, year in zip(TIERS, tier_years(), strict=True)
        ],
        "week": weekly_year(),
        "even": (
            break_even(CARD_PRICE, 2),
            break_even(node, 2, ELECTRICITY),
            break_even(node, CLOUD_AVERAGE, ELECTRICITY),
        ),
        "hour": tariff.h100_hour_price,
        "rented": five * 33 / H100.frames_per_second / 3600 * tariff.h100_hour_price,
        "own": power[0] + Prices(tariff, Scenario()).wear(node, seconds, 1.0),
    }


def _compression() -> dict[str, Any]:
    remembered, denoised = claimed_factors(WORK, MODEL)
    return {
        "remembered": remembered,
        "denoised": denoised,
        "saving": saving(MODEL, WORK),
        "stages": ", ".join(f"{stage.tflop:.1f}" for stage in stages_of(MODEL, WORK)),
        "chunk": tflop_per_chunk(MODEL, WORK),
        "parameters": PARAMETERS,
    }


def main() -> int:
    """Write the page anew."""
    DOCUMENT.write_text(page(list(committed()), ROOT / "bench" / "results"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
