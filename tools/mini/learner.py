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
    """AdamW with a warm-up, an optional cosine to zero, and an average of the weights.

    Matrices between layers may have Muon instead (Jordan et al. 2024): on this model the loss falls
    in fewer steps.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        rate: float,
        warm_up: int,
        steps: int | None = None,
        decay: float = 0.01,
        average: float = 0.999,
        rate_of: Mapping[str, float] | None = None,
        muon: tuple[str, float] | None = None,
    ) -> None:
        """`rate` holds after `warm_up` steps; it falls to zero by `steps`, None for an open end.

        `average` is how much of the moving average a step keeps; early steps keep less. Weights
        whose names begin with a key of `rate_of` have a rate of their own. `muon` is how names of
        matrices begin that Muon is for, and its rate.
        """
        self._modules = dict(modules)
        self._rate, self._warm_up, self._average = rate, warm_up, average
        self.steps = steps
        """Where the rate is zero."""
        named = [
            (f"{part}.{name}", weight)
            for part, module in self._modules.items()
            for name, weight in module.named_parameters()
            if weight.requires_grad
        ]
        self._weights = dict(named)
        self._names = {weight: name for name, weight in named}
        self._optimisers = self._build_optimisers(decay, rate_of or {}, muon)
        self._averages = {name: weight.detach().clone() for name, weight in named}
        self.step = 0
        """Steps done."""
        self.losses: list[tuple[int, float]] = []
        """Mean loss of the steps up to a step, since the entry before."""

    def learn(self, loss: Tensor) -> float:
        """Take one step down the gradient of `loss`."""
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["full_rate"] * self._share_now()
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adamw, *_ = self._optimisers  # Muon's steps are of one size whatever the gradient's
        clipped = [weight for group in adamw.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(clipped, GRADIENT_NORM_MAX)
        for optimiser in self._optimisers:
            optimiser.step()
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
            for optimiser in self._optimisers:
                for key, value in optimiser.state.get(weight, {}).items():
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
        for optimiser in self._optimisers:
            self._restore(optimiser, tensors)
        self.step = json.loads(told["step"])
        self.losses = [(step, loss) for step, loss in json.loads(told["losses"])]
        return True

    def start_from(self, path: Path) -> None:
        """Begin with the averages of another training, whose file `save` wrote."""
        tensors, _ = read_tensors(path)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(tensors[f"average.{name}"])
                self._averages[name].copy_(weight)

    def _build_optimisers(
        self, decay: float, rate_of: Mapping[str, float], muon: tuple[str, float] | None
    ) -> list[torch.optim.Optimizer]:
        """AdamW, and Muon where it is wanted; only matrices decay."""
        groups: list[dict[str, Any]] = []
        hidden: list[nn.Parameter] = []
        for name, weight in self._weights.items():
            if muon is not None and name.startswith(muon[0]) and weight.ndim == 2:
                hidden.append(weight)
                continue
            rates = (rate for start, rate in rate_of.items() if name.startswith(start))
            groups.append(
                {
                    "params": [weight],
                    "full_rate": next(rates, self._rate),
                    "weight_decay": decay if weight.ndim > 1 else 0.0,
                }
            )
        found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98))]
        if muon is not None:
            group = {"params": hidden, "full_rate": muon[1]}
            found.append(torch.optim.Muon([group], weight_decay=decay))
        return found

    def _restore(self, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
        """What `optimiser` kept of its weights; one may have had no gradient yet."""
        for group in optimiser.param_groups:
            for weight in group["params"]:
                prefix = f"optimiser.{self._names[weight]}."
                kept = {
                    k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
                }
                if kept:
                    optimiser.state[weight] = kept

    def _share_now(self) -> float:
        """Of the full rates."""
        share = min(1.0, (self.step + 1) / self._warm_up)
        if self.steps is not None:
            done = min(1.0, self.step / self.steps)
            share *= 0.5 * (1 + math.cos(math.pi * done))
        return share


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
