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
    Attention,
    ChunkTime,
    Matmul,
    Run,
    Vae,
    offloaded,
    predict,
)
from farm.plan.economics import HELIOS

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "card-model.md"
BEGIN, END = "<!-- predicted -->\n", "<!-- /predicted -->\n"
MODEL: Final = HELIOS["distilled"]
ONE, TWO = Work(384, 640, (1, 1, 1)), Work(384, 640, (2, 2, 2))
RUNS: Final = {
    "stock, float32 VAE": Run(vae=Vae.FLOAT32, elementwise_bytes=STOCK_BYTES),
    "`exact`: BF16": Run(),
    "INT8, SageAttention": Run(matmul=Matmul.INT8, attention=Attention.SAGE),
    "the same, tiny VAE": Run(matmul=Matmul.INT8, attention=Attention.SAGE, vae=Vae.TINY),
}


def tables() -> str:
    """Both tables: the RTX 4060 Ti part by part, and all cards."""
    parts = ("matrix products", "attention", "elementwise", "waiting for weights", "VAE")
    header = ("RTX 4060 Ti 16 GB", *parts, "FPS at 1,1,1", "FPS at 2,2,2")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, run in RUNS.items():
        one, two = _time(CARDS["rtx-4060-ti"], run, ONE), _time(CARDS["rtx-4060-ti"], run, TWO)
        spent = (one.matmul, one.attention, one.elementwise, one.waiting, one.vae)
        seconds = " | ".join(f"{part:.1f} s" for part in spent)
        rates = f"{one.frames_per_second:.2f} | {two.frames_per_second:.2f}"
        lines.append(f"| {name} | {seconds} | {rates} |")
    lines += ["", f"| FPS at 1,1,1 | {' | '.join(RUNS)} |", "|---" * (len(RUNS) + 1) + "|"]
    for card in CARDS.values():
        rates = " | ".join(f"{_time(card, r, ONE).frames_per_second:.2f}" for r in RUNS.values())
        lines.append(f"| {card.name} | {rates} |")
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The document with its tables as they are predicted now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def _time(card: Card, run: Run, work: Work) -> ChunkTime:
    return predict(card, offloaded(card, run, MODEL), MODEL, work)


def main() -> int:
    """Rewrite it."""
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
