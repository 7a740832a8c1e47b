"""Two configurations measured on a card predict the others: issue 5, must hold 4, in arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.domain.clip import Work
from farm.plan.card_fit import Measured, fitted
from farm.plan.card_table import CARDS, Card
from farm.plan.card_time import (
    Attention,
    Corrections,
    Profile,
    Run,
    Vae,
    block_bytes,
    pass_times,
    predict,
    vae_seconds,
)
from farm.plan.economics import HELIOS

DISTILLED = HELIOS["distilled"]
TI, H200 = CARDS["rtx-4060-ti"], CARDS["h200"]
ONE, TWO = Work(384, 640, (1, 1, 1)), Work(384, 640, (2, 2, 2))
WHOLLY = {profile: block_bytes(DISTILLED, profile) for profile in Profile}
FAST = Run(profile=Profile.FAST)
STREAMED_FAST = replace(FAST, streamed_bytes=WHOLLY[Profile.FAST])
OTHERS = [
    (replace(run, streamed_bytes=share * WHOLLY[run.profile], lanes=lanes, vae=vae), work)
    for run in (Run(), FAST)
    for share, lanes, vae, work in itertools.product(
        (0, 0.25, 0.5, 1), (1, 2, 4), (Vae.FLOAT32, Vae.BFLOAT16), (ONE, TWO)
    )
]
"""What is rendered otherwise: profiles, memory caps, lanes, VAEs, steps."""
SLOW = Corrections(link=4.0)
factor = st.floats(0.6, 1.6)
truths = st.builds(
    Corrections,
    compute=factor,
    low_bit=factor,
    link=st.floats(0.4, 4.0),
    vae_float32=factor,
    vae_bfloat16=factor,
)
noises = st.lists(st.floats(0.97, 1.03), min_size=8, max_size=8)


def measured(
    card: Card, run: Run, truth: Corrections, noise: Sequence[float] = (1,) * 4, work: Work = ONE
) -> Measured:
    """A chunk as such a card would render it, each part off by a factor of its own."""
    stages, decode = noise[:3], noise[3]
    passes = [
        once.seconds * by
        for once, by in zip(pass_times(card, run, DISTILLED, work, truth), stages, strict=True)
    ]
    decodes = {
        vae: vae_seconds(card, vae, work) * truth.vae(vae) * decode
        for vae in (Vae.FLOAT32, Vae.BFLOAT16)
    }
    seconds = decodes[run.vae] + sum(
        steps * each for steps, each in zip(work.steps, passes, strict=True)
    )
    return Measured(
        model=DISTILLED,
        run=run,
        work=work,
        passes=tuple(passes),
        decodes=decodes,
        seconds=seconds,
    )


def error(card: Card, run: Run, work: Work, truth: Corrections, found: Corrections) -> float:
    """Of the seconds that are predicted for a chunk."""
    seconds = predict(card, run, DISTILLED, work, truth).seconds
    return abs(predict(card, run, DISTILLED, work, found).seconds / seconds - 1)


@given(card=st.sampled_from(list(CARDS.values())), truth=truths, noise=noises)
@settings(max_examples=60, deadline=None)
def test_two_configurations_predict_all_others_within_15_percent(card, truth, noise) -> None:
    fit = fitted(
        card,
        [
            measured(card, Run(), truth, noise[:4]),
            measured(card, STREAMED_FAST, truth, noise[4:]),
        ],
    )
    covered = [(run, work) for run, work in OTHERS if fit.covers(card, run, DISTILLED, work)]
    assert covered, "at least what was measured"
    for run, work in covered:
        assert error(card, run, work, truth, fit.corrections) < 0.15, (run, work, fit)


@pytest.mark.parametrize(
    ("card", "streamed"),
    [(TI, STREAMED_FAST), (H200, replace(STREAMED_FAST, lanes=2))],
    ids=["short passes wait for the link", "lanes let computing show"],
)
def test_a_pair_that_shows_everything_covers_every_run(card: Card, streamed: Run) -> None:
    truth = Corrections(compute=1.2, low_bit=1.3, link=1.7, vae_float32=1.5, vae_bfloat16=0.8)
    fit = fitted(card, [measured(card, Run(), truth), measured(card, streamed, truth)])
    assert not fit.gaps
    for run, work in OTHERS:
        assert fit.covers(card, run, DISTILLED, work)
        assert error(card, run, work, truth, fit.corrections) < 0.03


def test_two_resident_runs_say_nothing_of_the_link() -> None:
    truth = Corrections(compute=1.2, low_bit=1.3, link=3.0)
    fit = fitted(TI, [measured(TI, Run(), truth), measured(TI, FAST, truth)])
    assert [gap.partition(":")[0] for gap in fit.gaps] == ["the link"]
    assert fit.corrections.link == 1
    assert fit.covers(TI, FAST, DISTILLED, TWO)
    assert not fit.covers(TI, STREAMED_FAST, DISTILLED, TWO)


def test_copies_tell_of_the_link_where_nothing_waited_for_it() -> None:
    truth = Corrections(compute=1.2, low_bit=1.3, link=2.0)
    resident = [measured(TI, Run(), truth), measured(TI, FAST, truth)]
    fit = fitted(TI, resident, link_rate=TI.link / 2)
    assert not fit.gaps
    assert error(TI, STREAMED_FAST, ONE, truth, fit.corrections) < 0.03


def test_weights_that_came_in_time_once_do_so_again() -> None:
    """Half of the weights came unnoticed: nobody knows how fast, but half of them always will."""
    half = Run(streamed_bytes=WHOLLY[Profile.EXACT] / 2)
    fit = fitted(TI, [measured(TI, half, Corrections())])
    assert not fit.link
    assert fit.covers(TI, replace(half, lanes=2), DISTILLED, TWO)
    assert not fit.covers(TI, replace(half, streamed_bytes=3 * half.streamed_bytes), DISTILLED, ONE)


@pytest.mark.parametrize(
    ("shown", "other"),
    [
        (Run(), FAST),
        (FAST, Run()),
        (FAST, Run(profile=Profile.FAST_FP8)),
        (FAST, Run(profile=Profile.FAST, attention=Attention.SAGE)),
        (FAST, Run(profile=Profile.FAST, vae=Vae.TINY)),
    ],
)
def test_one_way_says_nothing_of_another(shown: Run, other: Run) -> None:
    truth = Corrections(compute=1.3, low_bit=0.9)
    fit = fitted(TI, [measured(TI, shown, truth)])
    assert fit.covers(TI, shown, DISTILLED, TWO)
    assert error(TI, shown, TWO, truth, fit.corrections) < 0.03
    assert not fit.covers(TI, other, DISTILLED, TWO)


def test_computing_that_hides_behind_the_link_stays_unknown() -> None:
    fit = fitted(H200, [measured(H200, Run(), Corrections()), measured(H200, STREAMED_FAST, SLOW)])
    assert [gap.partition(":")[0] for gap in fit.gaps] == ["8-bit arithmetic"]


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to fit"):
        fitted(TI, [])
