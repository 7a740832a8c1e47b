"""Whole chunks, in lanes: seconds of each pass, chunk and round; memory; joules."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from node_agent.render.bench.figures import Record, figure
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.bench.options import Options, joined
from node_agent.render.bench.passes import PassTimer, Size
from node_agent.render.energy import Energy, Meter, Spent
from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.renderer import CHUNK_FRAMES, PendingChunk, RenderedChunk, RenderSpec

logger = logging.getLogger(__name__)

PROMPTS = (
    "A red fox walks through deep snow at dusk, seen from a drone that follows it slowly.",
    "A lighthouse in a storm, waves break over the rocks, its beam sweeps through the rain.",
)
"""Two, so that lanes have keys and values of their own."""


@dataclass(frozen=True, slots=True)
class Round:
    """The next chunk of all lanes."""

    seconds: float
    """From the end of the round before to its own, decode included, as the card tells it."""
    idle_seconds: float
    """Of these, without a pass or a decode (`work_clock.Worked.idle`)."""
    joules: float | None
    """For each lane."""


GAIN_MIN = 0.03
"""Frames per second that more lanes must add: below it they cost memory, and time to a clip's first
chunk, for nothing."""


def cases(
    model: HeliosModel, options: Options, meter: Meter | None
) -> tuple[list[Record], RenderedChunk]:
    """A record of each setting of steps and number of lanes, and a chunk that came of the last."""
    prompts, records = PromptEncoder(model), []
    for steps in options.steps:
        for lanes in options.lanes:
            record, chunk = measure(model, prompts, options, steps, lanes, meter)
            records.append(record)
            pace = record["seconds_per_chunk"]["median"]
            logger.info("steps %s, lanes %d: %.3f s for a chunk", joined(steps), lanes, pace)
    return records, chunk


def tuned(
    model: HeliosModel, options: Options, meter: Meter | None
) -> tuple[list[Record], RenderedChunk, Record]:
    """As `cases`, for the first setting of steps, up to the number of lanes that is not worth it.

    And which one is, and why not more.
    """
    prompts, steps, records = PromptEncoder(model), options.steps[0], []
    chunk, best, why = None, 0, "no more were tried"
    for lanes in options.lanes:
        try:
            record, made = measure(model, prompts, options, steps, lanes, meter)
        except (torch.OutOfMemoryError, MemoryError):
            if chunk is None:
                raise
            why = f"{lanes} have no room in memory"
            break
        records.append(record)
        gain = _gain(records)
        logger.info("lanes %d: %.2f frames/s", lanes, record["frames_per_second"])
        if chunk is not None and gain < GAIN_MIN:
            why = f"{lanes} add {gain:.1%}, less than {GAIN_MIN:.0%}"
            break
        chunk, best = made, lanes
    assert chunk is not None
    return records, chunk, {"lanes": best, "why": why}


def _gain(records: list[Record]) -> float:
    """What the last number of lanes adds to the one before."""
    paces = [record["frames_per_second"] for record in records[-2:]]
    return float(paces[-1] / paces[0] - 1)


def measure(
    model: HeliosModel,
    prompts: PromptEncoder,
    options: Options,
    steps: tuple[int, ...],
    lanes: int,
    meter: Meter | None = None,
    watch: Callable[[], AbstractContextManager[object]] = nullcontext,
    apart: AbstractContextManager[object] | None = None,
) -> tuple[Record, RenderedChunk]:
    """A record of `options.chunks` rounds after one that warms up, and a chunk of the last one.

    `watch` makes what else watches each of these rounds; within `apart` one more is rendered, which
    does not count. Raises `PromptError` for steps or a size that the model cannot render.
    """
    clips = [
        HeliosClip(model, prompts, _spec(options, steps, lane), checkpoint=None)
        for lane in range(lanes)
    ]
    recipe, energy = clips[0].recipe, Energy(meter)
    with MemoryWatch(model.device) as memory, PassTimer(model.transformer, model.device) as timer:
        _whole(render_chunks(model, clips, _never))
        timer.taken()
        model.clock.start()
        rounds, before = [], None
        for _ in range(options.chunks):
            with watch():
                with energy.of(lanes) as spent:
                    pending = render_chunks(model, clips, _never)
                if before is not None:  # beside the next one's passes, as in a render child
                    rounds.append(_round(*before))
                before = pending, spent
        rounds.append(_round(pending, spent))
        passes = timer.taken()
        if apart is not None:
            with apart:
                _whole(render_chunks(model, clips, _never))
    record: Record = {
        "steps": list(steps),
        "lanes": lanes,
        "guidance_scale": recipe.guidance_scale,
        "arithmetic": recipe.arithmetic,
        "vae": recipe.vae,
        **_figures(rounds, lanes),
        "stages": _stages(model, passes, len(rounds)),
        **memory.record(),
    }
    return record, _whole(pending)[0]


def _whole(pending: list[PendingChunk | None]) -> list[RenderedChunk]:
    """The chunks of a round, of which nothing was cancelled."""
    return [chunk.wait() for chunk in pending if chunk]


def _round(pending: list[PendingChunk | None], spent: Spent) -> Round:
    chunks = _whole(pending)
    idle = sum(chunk.idle_seconds for chunk in chunks)
    return Round(idle + sum(chunk.busy_seconds for chunk in chunks), idle, spent.joules)


def _figures(rounds: list[Round], lanes: int) -> Record:
    seconds = figure([each.seconds / lanes for each in rounds])
    record: Record = {
        "seconds_per_round": figure([each.seconds for each in rounds]),
        "seconds_per_chunk": seconds,
        "frames_per_second": CHUNK_FRAMES / seconds["median"],
        "idle_share": sum(each.idle_seconds for each in rounds)
        / sum(each.seconds for each in rounds),
    }
    joules = [each.joules for each in rounds if each.joules is not None]
    if len(joules) == len(rounds):
        record["joules_per_chunk"] = figure(joules)
    return record


def _stages(model: HeliosModel, passes: dict[Size, list[float]], rounds: int) -> list[Record]:
    scale = model.vae.config.scale_factor_spatial
    return [
        {
            "width": width * scale,
            "height": height * scale,
            "passes_per_round": len(seconds) // rounds,
            "seconds_per_pass": figure(seconds),
        }
        for (height, width), seconds in passes.items()
    ]


def _spec(options: Options, steps: tuple[int, ...], lane: int) -> RenderSpec:
    return RenderSpec(
        clip_id=f"bench-{lane}",
        prompt=PROMPTS[lane % len(PROMPTS)],
        frames=CHUNK_FRAMES * (options.chunks + 1),
        width=options.width,
        height=options.height,
        seed=lane,
        steps=steps,
        amplify_first_chunk=False,  # all chunks cost the same
    )


def _never(_clip: HeliosClip) -> bool:
    return False
