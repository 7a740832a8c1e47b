"""What a card is predicted to do, against the estimates and the figures that are known."""

from __future__ import annotations

import pytest

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.card_table import CARDS
from farm.plan.card_time import (
    STOCK_BYTES,
    Attention,
    Corrections,
    Matmul,
    Measured,
    Run,
    Vae,
    fitted,
    predict,
)
from farm.plan.economics import HELIOS
from tools.card_model import DOCUMENT, rewritten

DISTILLED = HELIOS["distilled"]
TI, H100 = CARDS["rtx-4060-ti"], CARDS["h100"]
ONE, TWO = Work(384, 640, (1, 1, 1)), Work(384, 640, (2, 2, 2))
STOCK = Run(vae=Vae.FLOAT32, elementwise_bytes=STOCK_BYTES)
INT8 = Run(matmul=Matmul.INT8, attention=Attention.SAGE)


@pytest.mark.parametrize(
    ("run", "at_two", "at_one"),
    [
        (STOCK, 0.70, 1.19),
        (Run(), 0.97, 1.73),
        (Run(matmul=Matmul.FP8, attention=Attention.SAGE), 1.53, 2.59),
        (Run(matmul=Matmul.INT8, attention=Attention.SAGE, streamed_bytes=12e9), 2.04, 3.27),
        (Run(matmul=Matmul.INT8, attention=Attention.SAGE, vae=Vae.TINY), 2.7, 5.2),
    ],
    ids=["stock", "bf16", "fp8", "int8, streamed", "int8, tiny VAE"],
)
def test_the_estimates_that_were_made_by_hand(run: Run, at_two: float, at_one: float) -> None:
    assert predict(TI, run, DISTILLED, TWO).frames_per_second == pytest.approx(at_two, rel=0.06)
    assert predict(TI, run, DISTILLED, ONE).frames_per_second == pytest.approx(at_one, rel=0.06)


def test_the_published_figure_of_an_h100() -> None:
    assert predict(H100, STOCK, DISTILLED, ONE).frames_per_second == pytest.approx(19.53, rel=0.06)


def test_no_card_beats_its_peak() -> None:
    for card in CARDS.values():
        bound = CHUNK_FRAMES / (548 / card.bf16)
        assert predict(card, Run(), DISTILLED, ONE).frames_per_second < bound


def test_weights_that_come_slower_than_they_are_used_are_waited_for() -> None:
    assert predict(TI, Run(streamed_bytes=20e9), DISTILLED, ONE).waiting == 0, "bf16 hides them"
    alone = predict(TI, Run(streamed_bytes=40e9), DISTILLED, ONE)
    assert alone.waiting > 0
    shared = predict(TI, Run(streamed_bytes=40e9, lanes=4), DISTILLED, ONE)
    assert shared.waiting == 0, "four clips share what comes"


def test_arithmetic_that_a_card_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="a100 has no fp8"):
        predict(CARDS["a100"], Run(matmul=Matmul.FP8), DISTILLED, ONE)


def test_more_pixels_and_steps_cost_more() -> None:
    small = predict(TI, Run(), DISTILLED, ONE)
    large = predict(TI, Run(), DISTILLED, Work(768, 1280, (1, 1, 1)))
    assert large.vae == pytest.approx(4 * small.vae)
    assert large.attention > 10 * small.attention, "of all tokens to all"
    base = predict(TI, Run(), HELIOS["base"], Work(384, 640))
    assert base.seconds > 30 * small.seconds


@pytest.mark.parametrize(
    "truth", [Corrections(compute=1.3, vae=0.8), Corrections(compute=1.1, vae=1.2, link=2.5)]
)
def test_two_measurements_tell_how_wrong_it_was(truth: Corrections) -> None:
    def measured(run: Run, work: Work) -> Measured:
        time = predict(TI, run, DISTILLED, work, truth)
        return Measured(run=run, work=work, seconds=time.seconds, vae_seconds=time.vae)

    streamed = Run(matmul=Matmul.INT8, attention=Attention.SAGE, streamed_bytes=30e9)
    found = fitted(TI, DISTILLED, [measured(INT8, TWO), measured(streamed, ONE)])
    for run, work in ((Run(), ONE), (STOCK, TWO), (streamed, TWO)):
        seconds = predict(TI, run, DISTILLED, work, truth).seconds
        again = predict(TI, run, DISTILLED, work, found).seconds
        assert again == pytest.approx(seconds, rel=0.02)


def test_the_document_says_what_is_predicted() -> None:
    text = DOCUMENT.read_text()
    assert rewritten(text) == text, "python tools/card_model.py writes it anew"
