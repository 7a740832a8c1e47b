"""One denoising pass: the transformer's velocity for a chunk, guided by the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from node_agent.render.renderer import RenderCancelled


@dataclass(frozen=True, slots=True)
class Velocity:
    """The transformer with everything that stays the same over a chunk's passes."""

    transformer: Any
    """diffusers' HeliosTransformer3DModel."""
    history: dict[str, Tensor]
    prompt: Tensor
    """(1, tokens, text dimension)."""
    negative_prompt: Tensor | None
    """None renders without guidance, at half the cost."""
    guidance_scale: float
    zero_star: bool
    """CFG-Zero* (Mid): rescale the unguided direction, and start from none at all."""
    cancelled: Callable[[], bool]

    def __call__(self, latents: Tensor, timestep: Tensor, *, first_steps: bool = False) -> Tensor:
        """Velocity at `latents`; `first_steps` marks those which CFG-Zero* leaves out.

        Raises `RenderCancelled` between passes.
        """
        conditional = self._run(latents, timestep, self.prompt)
        if self.negative_prompt is None:
            return conditional
        unconditional = self._run(latents, timestep, self.negative_prompt)
        if not self.zero_star:
            return unconditional + self.guidance_scale * (conditional - unconditional)
        if first_steps:
            return conditional * 0.0
        unconditional = unconditional * projection(conditional, unconditional)
        return unconditional + self.guidance_scale * (conditional - unconditional)

    def _run(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> Tensor:
        if self.cancelled():
            raise RenderCancelled
        velocity: Tensor = self.transformer(
            hidden_states=latents.to(self.transformer.dtype),
            timestep=timestep,
            encoder_hidden_states=prompt,
            return_dict=False,
            **self.history,
        )[0]
        return velocity


def projection(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """How much of `unconditional` is in `conditional`: s* of CFG-Zero* (arXiv 2503.18886)."""
    wanted, given = conditional.reshape(1, -1).float(), unconditional.reshape(1, -1).float()
    dot = torch.sum(wanted * given, dim=1, keepdim=True)
    norm = torch.sum(given**2, dim=1, keepdim=True) + 1e-8
    return (dot / norm).view(1, 1, 1, 1, 1).to(conditional.dtype)
