"""Seconds of each denoising pass: a transformer's calls, timed from outside, by stage."""

from __future__ import annotations

from collections import defaultdict
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from node_agent.render.helios.card import marks_of
from node_agent.render.work_clock import Mark

Size = tuple[int, int]
"""Height and width of latents."""


class PassTimer:
    """Times the calls of a module while its `with` block lasts.

    On a GPU by events on the current stream, so that nothing waits which would not wait anyway.
    """

    def __init__(self, transformer: nn.Module, device: torch.device) -> None:
        self._transformer = transformer
        self._clock = marks_of(device)
        self._passes: list[tuple[Size, Mark, Mark]] = []
        self._hooks: list[Any] = []
        self._began: Mark = None

    def __enter__(self) -> Self:
        self._hooks = [
            self._transformer.register_forward_pre_hook(self._before),
            self._transformer.register_forward_hook(self._after),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def taken(self) -> dict[Size, list[float]]:
        """Seconds of the passes since the last call, in order, by the size of their latents."""
        by_size: dict[Size, list[float]] = defaultdict(list)
        for size, began, ended in self._passes:
            by_size[size].append(self._clock.between(began, ended))
        self._passes.clear()
        return dict(sorted(by_size.items()))

    def _before(self, _module: nn.Module, _inputs: Any) -> None:
        self._began = self._clock.now()

    def _after(self, _module: nn.Module, inputs: tuple[Tensor, ...], _output: Any) -> None:
        height, width = inputs[0].shape[-2:]
        self._passes.append(((height, width), self._began, self._clock.now()))
