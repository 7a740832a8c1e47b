"""One denoising pass: the transformer's velocity for some lanes, guided by their prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from node_agent.render.helios.cross_attention import LaneKeys, PromptKeys
from node_agent.render.helios.history import History, Memory
from node_agent.render.helios.noise import ClipNoise
from node_agent.render.renderer import RenderCancelled
from node_agent.render.work_clock import WorkClock


class Company:
    """The lanes that are denoised in lockstep, and what stays the same over a chunk's passes.

    A lane that is cancelled leaves before the next pass; the others go on.
    """

    def __init__(
        self,
        *,
        transformer: Any,
        histories: Sequence[History],
        prompts: Sequence[PromptKeys],
        negative_prompts: Sequence[PromptKeys] | None,
        noises: Sequence[ClipNoise],
        guidance_scale: float,
        zero_star: bool,
        cancelled: Callable[[int], bool],
        clock: WorkClock,
    ) -> None:
        """`negative_prompts` of None render without guidance, at half the cost.

        `zero_star` is CFG-Zero* (Mid): rescale the unguided direction, and start from none at all.
        `cancelled` is asked with a lane's number. Each pass is work on the `clock`.
        """
        self.lanes = list(range(len(histories)))
        """Numbers of the lanes that are left."""
        self._transformer = transformer
        self._memory = Memory.of(histories, transformer.dtype)
        self._prompts = list(prompts)
        self._negative_prompts = list(negative_prompts) if negative_prompts else None
        self._noises = list(noises)
        self._guidance_scale = guidance_scale
        self._zero_star = zero_star
        self._cancelled = cancelled
        self._clock = clock

    def left(self, *tensors: Tensor) -> list[Tensor]:
        """Let cancelled lanes go; the rows of `tensors` that are left.

        Raises `RenderCancelled` when none is.
        """
        rows = [row for row, lane in enumerate(self.lanes) if not self._cancelled(lane)]
        if not rows:
            raise RenderCancelled
        if len(rows) == len(self.lanes):
            return list(tensors)
        self.lanes = [self.lanes[row] for row in rows]
        self._memory = self._memory.kept(rows)
        self._prompts = [self._prompts[row] for row in rows]
        if self._negative_prompts:
            self._negative_prompts = [self._negative_prompts[row] for row in rows]
        return [tensor[rows] for tensor in tensors]

    def draw(self, number: Callable[[ClipNoise], Tensor]) -> Tensor:
        """Noise for the lanes that are left, each from its own stream."""
        return torch.cat([number(self._noises[lane]) for lane in self.lanes])

    def velocity(self, latents: Tensor, time: Tensor, *, first_steps: bool = False) -> Tensor:
        """Velocity at `latents`; `first_steps` marks those which CFG-Zero* leaves out.

        Raises `RenderCancelled` when all lanes are cancelled between two passes.
        """
        conditional = self._pass(latents, time, self._prompts)
        if self._negative_prompts is None:
            return conditional
        if all(self._cancelled(lane) for lane in self.lanes):
            raise RenderCancelled
        unconditional = self._pass(latents, time, self._negative_prompts)
        if self._zero_star:
            if first_steps:
                return conditional * 0.0
            unconditional = unconditional * projection(conditional, unconditional)
        return unconditional + self._guidance_scale * (conditional - unconditional)

    def _pass(self, latents: Tensor, time: Tensor, prompts: Sequence[PromptKeys]) -> Tensor:
        with self._clock.working(is_pass=True):
            velocity: Tensor = self._transformer(
                latents.to(self._transformer.dtype),
                time.expand(len(latents)),
                LaneKeys(prompts),
                self._memory.history,
                self._memory.chunk_at,
            )
        return velocity


def projection(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """How much of `unconditional` is in `conditional`, lane by lane: s* of CFG-Zero*.

    Source: arXiv 2503.18886.
    """
    wanted, given = conditional.flatten(1).float(), unconditional.flatten(1).float()
    dot = torch.sum(wanted * given, dim=1, keepdim=True)
    norm = torch.sum(given**2, dim=1, keepdim=True) + 1e-8
    return (dot / norm).view(-1, 1, 1, 1, 1).to(conditional.dtype)
