"""What PyTorch says of itself and of the cards: one JSON object on stdout.

    python -m node_agent.render.probe

A process of its own, for whoever asks must not hang with a broken driver (`node_agent.doctor`).
"""

from __future__ import annotations

import json
import sys
from typing import Any

_FAILURES = (AssertionError, AttributeError, ImportError, OSError, RuntimeError, ValueError)
"""What a broken installation or driver raises."""


def probe() -> dict[str, Any]:
    """`version` ("" where torch cannot be imported), `cuda_build`, `devices`, `problem`."""
    found: dict[str, Any] = {"version": "", "cuda_build": None, "devices": [], "problem": ""}
    try:
        import torch
    except _FAILURES as error:
        return found | {"problem": _said(error)}
    found |= {"version": torch.__version__, "cuda_build": torch.version.cuda}
    if torch.version.cuda is None:
        return found
    try:
        for index in range(torch.cuda.device_count()):
            _compute(torch.device("cuda", index))
            found["devices"].append(torch.cuda.get_device_name(index))
        if not found["devices"]:
            torch.zeros(1, device="cuda")  # it says why there are none
    except _FAILURES as error:  # the driver's words are the answer
        found["problem"] = _said(error)
    return found


def _compute(device: Any) -> None:
    """A product in bfloat16 whose result is exact. Raises when it is wrong, or CUDA fails."""
    import torch

    ones = torch.ones(64, 64, dtype=torch.bfloat16, device=device)
    if not bool((ones @ ones == 64).all()):
        raise RuntimeError(f"{device} multiplies wrongly")


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    json.dump(probe(), sys.stdout)
