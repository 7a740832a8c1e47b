"""Flow matching as Helios's Base learns it: from noise to a chunk, along a straight line.

x = (1 - sigma) x0 + sigma noise, and the velocity is noise - x0 (arXiv 2210.02747).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers.pipelines.helios.pipeline_helios import calculate_shift
from torch import Tensor
from transformers import UMT5EncoderModel

from .learner import Learner, numbers
from .lessons import lesson
from .plan import Plan
from .pupil import Pupil
from .shards import Shards
from .text import encode_captions

STAGE = 3
"""Of the random numbers."""


def teach(
    pupil: Pupil,
    encoder: UMT5EncoderModel,
    tokenizer: Any,
    shards: Shards,
    learner: Learner,
    plan: Plan,
) -> float:
    """One step; the loss that it began from."""
    rng, generator = numbers(plan.seed, STAGE, learner.step)
    known = shards.upto(plan.first_shards + learner.step // plan.shard_every)
    taught = lesson(known, plan.batch, rng, generator)
    words = encode_captions(encoder, tokenizer, taught.captions)
    noise = torch.randn(taught.targets.shape, generator=generator)
    sigma = sigmas(plan, generator)
    mixed = sigma.view(-1, 1, 1, 1, 1)
    latents = (1 - mixed) * taught.targets + mixed * noise
    velocity = pupil(latents, 1000 * sigma, words, taught.memory)
    return learner.learn((velocity - (noise - taught.targets)).square().mean())


def sigmas(plan: Plan, generator: torch.Generator) -> Tensor:
    """One for each clip of a batch: evenly spread, then shifted towards noise as when rendering."""
    spread = (torch.arange(plan.batch) + torch.rand(plan.batch, generator=generator)) / plan.batch
    tokens = 9 * (plan.size // 16) ** 2
    shift = math.exp(calculate_shift(tokens, 256, 4096, 0.5, 1.15))
    return shift * spread / (1 + (shift - 1) * spread)
