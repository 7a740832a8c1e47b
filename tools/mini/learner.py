"""One optimiser over some weights, with a moving average of them, kept in one file.

Whatever is drawn in a step comes from `Draws(seed, …, step)`, so that training which was killed
goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

GRADIENT_NORM_MAX = 1.0


def numbers(*seeds: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one step of one stage, for numpy and for torch."""
    sequence = np.random.SeedSequence(seeds)
    torch_seed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
    return np.random.default_rng(sequence), torch.Generator().manual_seed(torch_seed)


class Learner:
    """AdamW with a warm-up, an optional cosine to zero, and an average of the weights."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        rate: float,
        warm_up: int,
        steps: int | None = None,
        decay: float = 0.01,
        average: float = 0.999,
    ) -> None:
        """`rate` holds after `warm_up` steps; it falls to zero by `steps`, None for an open end.

        `average` is how much of the moving average a step keeps; early steps keep less.
        """
        self._modules = dict(modules)
        self._rate, self._warm_up, self._steps, self._average = rate, warm_up, steps, average
        named = [
            (f"{part}.{name}", weight)
            for part, module in self._modules.items()
            for name, weight in module.named_parameters()
            if weight.requires_grad
        ]
        self._weights = dict(named)
        matrices = [weight for weight in self._weights.values() if weight.ndim > 1]
        others = [weight for weight in self._weights.values() if weight.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=rate, betas=(0.9, 0.98)
        )
        self._averages = {name: weight.detach().clone() for name, weight in named}
        self.step = 0
        """Steps done."""
        self.losses: list[tuple[int, float]] = []
        """Mean loss of the steps up to a step, since the entry before."""

    def learn(self, loss: Tensor) -> float:
        """Take one step down the gradient of `loss`."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate_now()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights.values(), GRADIENT_NORM_MAX)
        self._optimiser.step()
        self.step += 1
        keep = min(self._average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._averages.values()), list(self._weights.values()), 1 - keep
            )
        return loss.item()

    def use_average(self) -> None:
        """Put the averages in the place of the weights, for whoever exports or judges them."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._averages[name])

    def save(self, path: Path) -> None:
        """Everything that a process needs to go on, in one file that is replaced in one step."""
        tensors = {f"weight.{name}": weight.detach() for name, weight in self._weights.items()}
        tensors |= {f"average.{name}": average for name, average in self._averages.items()}
        for name, weight in self._weights.items():
            for key, value in self._optimiser.state[weight].items():
                tensors[f"optimiser.{name}.{key}"] = value
        told = {"step": json.dumps(self.step), "losses": json.dumps(self.losses)}
        write_tensors(path, tensors, told)

    def load(self, path: Path) -> bool:
        """Go on where `save` was called; False where it never was."""
        if not path.exists():
            return False
        tensors, told = read_tensors(path)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(tensors[f"weight.{name}"])
                self._averages[name].copy_(tensors[f"average.{name}"])
                prefix = f"optimiser.{name}."
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    if prefix + key in tensors:  # a weight may have had no gradient yet
                        self._optimiser.state[weight][key] = tensors[prefix + key]
        self.step = json.loads(told["step"])
        self.losses = [(step, loss) for step, loss in json.loads(told["losses"])]
        return True

    def _rate_now(self) -> float:
        rate = self._rate * min(1.0, (self.step + 1) / self._warm_up)
        if self._steps is not None:
            share = min(1.0, self.step / self._steps)
            rate *= 0.5 * (1 + math.cos(math.pi * share))
        return rate


def write_tensors(path: Path, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    """Write a safetensors file, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file({name: each.contiguous() for name, each in tensors.items()}, partial, dict(told))
    os.replace(partial, path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `write_tensors` wrote."""
    with safe_open(path, framework="pt") as file:
        opened: Any = file
        names: list[str] = opened.keys()
        return {name: opened.get_tensor(name) for name in names}, dict(opened.metadata())
