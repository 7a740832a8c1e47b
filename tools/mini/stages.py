"""The stages of a training, each of which goes on where its file says that it was.

`pictures`, `films` and `chunks` teach the VAE, `decoder` and `seams` its decoder, `words` the text
encoder; `flow` teaches it and the transformer, for ever.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from transformers import T5TokenizerFast, UMT5EncoderModel

from .flow import teach
from .learner import Learner
from .plan import Plan
from .pupil import Pupil, build_pupil
from .shards import Shards
from .text import build_heads, build_text_encoder, build_tokenizer, train_words
from .vae import build_vae, decoder_learner, normalise, train_vae

STAGES = ("pictures", "films", "chunks", "decoder", "seams", "words", "flow")
BESIDE = ("decoder", "flow")
"""Those that two processes may be at, side by side."""
FLOW = "flow.safetensors"
BEGUN = "begun.safetensors"
"""The flow stage of another training, from whose averages this one begins."""
OF_FLOW = {"size", "stages", "batch", "pairs_of_shard", "first_shards", "shard_every", "shards_max"}
"""In what a training may differ from the one that it begins from."""
PLAN_FILE = "plan.json"
SAVE_SECONDS = 60.0
LOG_STEPS = 20


class OutOfTime(Exception):
    """The minutes are over, or somebody said stop; what was done is kept."""


class UnfinishedTraining(Exception):
    """There is nothing to export yet; the message says what is missing."""


class Clock:
    """How long a training may go on; it also ends with SIGINT and SIGTERM."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes
        self._stopped = False

    def heed_signals(self) -> None:
        """End after the step that is being taken when a signal comes."""
        for which in (signal.SIGINT, signal.SIGTERM):
            signal.signal(which, self._stop)

    def check(self) -> None:
        """Raise `OutOfTime` when the time is over."""
        if self._stopped or time.monotonic() >= self._end:
            raise OutOfTime

    def _stop(self, *_: object) -> None:
        self._stopped = True


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training has made so far, with the moving averages in place of the weights."""

    vae: AutoencoderKLWan
    tokenizer: T5TokenizerFast
    encoder: UMT5EncoderModel
    pupil: Pupil
    steps: int
    """Of the flow stage."""


def train(
    plan: Plan,
    directory: Path,
    clock: Clock,
    flow_steps: int | None = None,
    *,
    only: str = "",
    compiled: bool = False,
) -> None:
    """Go on with the training in `directory`, until `clock` ends it or `flow_steps` are done.

    `only` is one of `BESIDE`, where another process is at the other one. A `compiled` transformer
    takes a quarter less time, and a minute and a C++ compiler first.

    Raises `OutOfTime`, and ValueError where another plan was begun in `directory`.
    """
    _check_plan(plan, directory)
    vae = _vae(plan, directory, clock)
    if only in ("", "decoder"):
        for name, learner in _polishers(vae, plan):
            step = partial(train_vae, vae, learner, plan, name)
            _run(learner, directory / f"{name}.safetensors", step, learner.steps, clock)
            learner.use_average()
    if only in ("", "flow"):
        _train_flow(vae, plan, directory, clock, flow_steps, compiled=compiled)


def start_from(other: Path, plan: Plan, directory: Path) -> None:
    """Begin in `directory` with all stages of the training in `other`; `flow` begins with its
    averages, at another size or with another number of pyramid stages.

    Nothing is done where `directory` has a training already. Raises `UnfinishedTraining` where
    `other` has no flow stage, and ValueError where its parts are of another size.
    """
    if (directory / PLAN_FILE).exists():
        return
    if not (other / FLOW).exists():
        raise UnfinishedTraining(f"{other}: the flow stage has not begun; train it first")
    theirs = asdict(stored_plan(other))
    differ = sorted(
        name
        for name, value in asdict(plan).items()
        if value != theirs[name] and name not in OF_FLOW
    )
    if differ:
        raise ValueError(f"{other}: its plan is another one ({', '.join(differ)})")
    directory.mkdir(parents=True, exist_ok=True)
    for stage in STAGES[:-1]:
        if (other / f"{stage}.safetensors").exists():
            shutil.copyfile(other / f"{stage}.safetensors", directory / f"{stage}.safetensors")
    shutil.copyfile(other / FLOW, directory / BEGUN)
    _check_plan(plan, directory)


def trained(directory: Path) -> Trained:
    """What is in `directory`. Raises `UnfinishedTraining` before the flow stage has begun."""
    if not (directory / FLOW).exists():
        raise UnfinishedTraining(f"{directory}: the flow stage has not begun; train it first")
    plan = stored_plan(directory)
    vae = _vae(plan, directory, Clock(0))
    tokenizer, encoder, pupil, learner = _flow(plan, directory, Clock(0))
    for name, each in (("flow", learner), *_polishers(vae, plan)):
        if each.load(directory / f"{name}.safetensors"):
            each.use_average()
    return Trained(vae, tokenizer, encoder.eval(), pupil.eval(), learner.step)


def stored_plan(directory: Path) -> Plan:
    """The plan of the training in `directory`."""
    told = json.loads((directory / PLAN_FILE).read_text(encoding="utf-8"))
    return Plan(**told | {"rope": tuple(told["rope"])})


def _check_plan(plan: Plan, directory: Path) -> None:
    path = directory / PLAN_FILE
    wanted = asdict(plan)
    if path.exists():
        begun = asdict(stored_plan(directory))
        other = sorted(name for name in wanted if wanted[name] != begun[name])
        if other:
            raise ValueError(f"{directory}: another plan was begun here ({', '.join(other)})")
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _vae(plan: Plan, directory: Path, clock: Clock) -> AutoencoderKLWan:
    """Normalised and frozen; trained first if it is not yet."""
    torch.manual_seed(plan.seed)
    vae = build_vae(plan.vae_width)
    for name, steps, rate in (
        ("pictures", plan.picture_steps, plan.picture_rate),
        ("films", plan.film_steps, plan.film_rate),
        ("chunks", plan.chunk_steps, plan.chunk_rate),
    ):
        learner = Learner({"vae": vae}, rate=rate, warm_up=40, steps=steps, average=0.98)
        step = partial(train_vae, vae, learner, plan, name)
        _run(learner, directory / f"{name}.safetensors", step, steps, clock)
        learner.use_average()
    vae.eval().requires_grad_(requires_grad=False)
    normalise(vae, plan)
    return vae


def _polishers(vae: AutoencoderKLWan, plan: Plan) -> Iterator[tuple[str, Learner]]:
    """The stages of the decoder alone; one begins with what the one before has left."""
    yield "decoder", decoder_learner(vae, plan.decoder_rate, plan.decoder_steps)
    yield "seams", decoder_learner(vae, plan.seam_rate, plan.seam_steps)


def _flow(
    plan: Plan, directory: Path, clock: Clock
) -> tuple[T5TokenizerFast, UMT5EncoderModel, Pupil, Learner]:
    """Before the first step; the text encoder is trained first if it is not yet."""
    torch.manual_seed(plan.seed)
    tokenizer: Any = build_tokenizer()
    encoder = _text_encoder(tokenizer, plan, directory, clock)
    pupil = build_pupil(plan)
    learner = Learner(
        {"encoder": encoder, "transformer": pupil},
        rate=plan.rate,
        warm_up=plan.warm_up,
        rate_of=dict.fromkeys(
            ("encoder.", "transformer.condition_embedder.text_embedder."), plan.text_rate
        ),
        muon=("transformer.blocks.", plan.muon_rate),
    )
    if (directory / BEGUN).exists():
        learner.start_from(directory / BEGUN)
    return tokenizer, encoder, pupil, learner


def _text_encoder(tokenizer: Any, plan: Plan, directory: Path, clock: Clock) -> UMT5EncoderModel:
    encoder = build_text_encoder(len(tokenizer), plan.text_dim, plan.text_layers)
    heads = build_heads(plan.text_dim)
    learner = Learner(
        {"encoder": encoder, "heads": heads},
        rate=plan.word_rate,
        warm_up=40,
        steps=plan.word_steps,
        average=0.98,
    )

    step = partial(train_words, encoder, heads, tokenizer, learner, plan)
    _run(learner, directory / "words.safetensors", step, plan.word_steps, clock)
    learner.use_average()
    return encoder


def _train_flow(
    vae: AutoencoderKLWan,
    plan: Plan,
    directory: Path,
    clock: Clock,
    steps: int | None,
    *,
    compiled: bool,
) -> None:
    tokenizer, encoder, pupil, learner = _flow(plan, directory, clock)
    if compiled:
        pupil.compile(dynamic=False)  # a shape for each stage of the pyramid
    shards = Shards(vae, plan, directory / "shards")
    try:
        step = partial(teach, pupil, encoder, tokenizer, shards, learner, plan)
        _run(learner, directory / FLOW, step, steps, clock)
    finally:
        shards.close()


def _run(
    learner: Learner,
    path: Path,
    step: Callable[[], float],
    steps: int | None,
    clock: Clock,
) -> None:
    """Take steps until there are `steps`, keeping all in the file every minute.

    Raises `OutOfTime`.
    """
    learner.load(path)
    begun, losses, saved = learner.step, list[float](), time.monotonic()
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
        if learner.step > begun:
            learner.save(path)
