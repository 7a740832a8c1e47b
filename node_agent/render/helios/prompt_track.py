"""The prompts of one clip over its chunks: a schedule, blends between them, and changes on the way.

At a mark the embeddings turn from the prompt before to the new one over `blend_chunks` chunks,
linearly, weights 0, 1/(n-1) .. 1: the formula of Helios's own repository, which diffusers lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from node_agent.render.helios.cross_attention import PromptKeys
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.renderer import PromptError, PromptMark, RenderSpec


class PromptTrack:
    """Which keys and values a clip's chunk looks at. Only the current ones are kept."""

    def __init__(
        self,
        model: HeliosModel,
        prompts: PromptEncoder,
        spec: RenderSpec,
        steered: Sequence[PromptMark] = (),
    ) -> None:
        """`steered` are changes that a checkpoint brings back."""
        self._model = model
        self._prompts = prompts
        self._marks = [PromptMark(chunk=0, prompt=spec.prompt, blend_chunks=0)]
        for mark in (*spec.schedule, *steered):
            self._set(mark)
        self.steered = tuple(steered)
        """Changes of prompt that came while the clip rendered, in order."""
        self._current: tuple[object, PromptKeys] | None = None

    @property
    def texts(self) -> list[str]:
        """All prompts, in order."""
        return [mark.prompt for mark in self._marks]

    def steer(self, mark: PromptMark) -> None:
        """Follow another prompt from a chunk on, up to the next mark. Raises `PromptError`."""
        if not mark.prompt.strip():
            raise PromptError("the new prompt is empty; write one")
        self._prompts.prepare([mark.prompt])
        self._set(mark)
        self.steered = (*(old for old in self.steered if old.chunk < mark.chunk), mark)

    def keys(self, chunk: int) -> PromptKeys:
        """Keys and values for a chunk."""
        number = max(i for i, mark in enumerate(self._marks) if mark.chunk <= chunk)
        mark = self._marks[number]
        step = chunk - mark.chunk
        is_blend = number > 0 and step < mark.blend_chunks - 1
        what = (number, mark, step if is_blend else None)
        if self._current is None or self._current[0] != what:
            if is_blend:
                keys = self._blend(self._marks[number - 1].prompt, mark, step)
            else:
                keys = self._prompts.keys(mark.prompt)
            self._current = what, keys
        return self._current[1]

    def _set(self, mark: PromptMark) -> None:
        """A mark takes the place of another one at its chunk."""
        others = [old for old in self._marks if old.chunk != mark.chunk]
        self._marks = sorted([*others, mark], key=lambda each: each.chunk)

    def _blend(self, before: str, mark: PromptMark, step: int) -> PromptKeys:
        old, old_tokens = self._prompts.encode(before)
        new, new_tokens = self._prompts.encode(mark.prompt)
        weight = torch.linspace(0, 1, steps=mark.blend_chunks)[step].to(old)
        blended: Tensor = torch.lerp(old, new, weight)
        return self._model.projections.keys(blended, max(old_tokens, new_tokens))
