"""The stages of a training, each of which goes on where its file says that it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from tools.mini.learner import Learner
from tools.mini.plan import Plan
from tools.mini.vae import build_vae, normalise, train_vae

SAVE_SECONDS = 60.0
LOG_STEPS = 20


class OutOfTime(Exception):
    """The minutes are over; what was done is kept."""


class Clock:
    """How long a training may go on."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def check(self) -> None:
        """Raise `OutOfTime` when the time is over."""
        if time.monotonic() >= self._end:
            raise OutOfTime


def run(
    learner: Learner, path: Path, step: Callable[[], float], steps: int | None, clock: Clock
) -> None:
    """Take steps up to `steps`, keeping them in `path` every minute. Raises `OutOfTime`."""
    learner.load(path)
    losses: list[float] = []
    saved = time.monotonic()
    try:
        while steps is None or learner.step < steps:
            clock.check()
            losses.append(step())
            if learner.step % LOG_STEPS == 0 or learner.step == steps:
                mean = sum(losses) / len(losses)
                learner.losses.append((learner.step, round(mean, 5)))
                losses.clear()
                print(f"{path.stem} {learner.step}: loss {mean:.4f}", flush=True)
                if time.monotonic() - saved > SAVE_SECONDS:
                    learner.save(path)
                    saved = time.monotonic()
    finally:
        if learner.step:
            learner.save(path)


def trained_vae(plan: Plan, directory: Path, clock: Clock) -> object:
    """The VAE of a training, normalised and frozen; trained first if it is not yet."""
    torch.manual_seed(plan.seed)
    vae = build_vae(plan.vae_width)
    vae.quant_conv.requires_grad_(requires_grad=True)
    stages = (("pictures", plan.picture_steps, plan.picture_rate), ("films", plan.film_steps, plan.film_rate))
    for name, steps, rate in stages:
        learner = Learner({"vae": vae}, rate=rate, warm_up=40, steps=steps, average=0.98)
        films = name == "films"
        run(
            learner,
            directory / f"{name}.safetensors",
            lambda: train_vae(vae, learner, plan, films=films),  # noqa: B023
            steps,
            clock,
        )
        learner.use_average()
    vae.eval().requires_grad_(requires_grad=False)
    normalise(vae, plan)
    return vae
