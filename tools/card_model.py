"""Write the tables of docs/card-model.md anew, from the card model itself.

    python tools/card_model.py

What stands between the two marks is replaced; a test holds the document and the model together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from farm.domain.clip import Work
from farm.plan.card_table import CARDS, Card
from farm.plan.card_time import (
    STOCK_BYTES,
    WAYS,
    ChunkTime,
    Run,
    Vae,
    offloaded,
    predict,
    roofline,
)
from farm.plan.economics import HELIOS, RTX_4060_TI

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "card-model.md"
BEGIN, END = "<!-- predicted -->\n", "<!-- /predicted -->\n"
MODEL: Final = HELIOS["distilled"]
ONE, TWO = Work(384, 640, (1, 1, 1)), Work(384, 640, (2, 2, 2))
RUNS: Final = {
    "stock, float32 VAE": Run(vae=Vae.FLOAT32, elementwise_bytes=STOCK_BYTES),
    **{f"`{way}`": run for way, run in WAYS.items()},
}


def tables() -> str:
    """Both tables: the RTX 4060 Ti part by part, and all cards."""
    parts = ("matrix products", "attention", "elementwise", "waiting for weights", "VAE")
    header = ("RTX 4060 Ti 16 GB", *parts, "FPS at 1,1,1", "FPS at 2,2,2")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    card, blank = CARDS["rtx-4060-ti"], "- | " * len(parts)
    for name, run in RUNS.items():
        one, two = _time(card, run, ONE), _time(card, run, TWO)
        spent = (one.matmul, one.attention, one.elementwise, one.waiting, one.vae)
        seconds = " | ".join(f"{part:.1f} s" for part in spent)
        rates = f"{one.frames_per_second:.2f} | {two.frames_per_second:.2f}"
        lines.append(f"| {name} | {seconds} | {rates} |")
    for name, peak in (("BF16", card.bf16), ("INT8", card.int8)):
        limits = " | ".join(f"{roofline(peak, MODEL, work):.2f}" for work in (ONE, TWO))
        lines.append(f"| limit: all at the peak of {name}, no VAE | {blank}{limits} |")
    press = f"{RTX_4060_TI.frames_per_second:.1f}"
    lines.append(f"| the press, midpoint of 2 to 3; steps not told | {blank}{press} | {press} |")
    lines += ["", f"| FPS at 1,1,1 | {' | '.join(RUNS)} |", "|---" * (len(RUNS) + 1) + "|"]
    for each in CARDS.values():
        lines.append(f"| {each.name} | {' | '.join(_rate(each, r) for r in RUNS.values())} |")
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The document with its tables as they are predicted now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def _rate(card: Card, run: Run) -> str:
    try:
        return f"{_time(card, run, ONE).frames_per_second:.2f}"
    except ValueError:
        return "-"


def _time(card: Card, run: Run, work: Work) -> ChunkTime:
    return predict(card, offloaded(card, run, MODEL), MODEL, work)


def main() -> int:
    """Rewrite it."""
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
