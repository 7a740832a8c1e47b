"""Whether a device can render, said before anything is loaded."""

from __future__ import annotations

from typing import Final

import torch

from node_agent.models import ModelError
from node_agent.render.profiles import Profile
from node_agent.telemetry import NvmlUnavailable, SystemNvml

CAPABILITY_MIN: Final = (8, 0)
"""bfloat16 in hardware."""
CARDS: Final = {
    (8, 0): "Ampere and later: RTX 30, 40 and 50, A100, L4, L40S, H100",
    (8, 9): "Ada and later: RTX 40 and 50, L4, L40S, H100",
}
"""Cards that have a compute capability, for a person."""


def device_named(name: str) -> torch.device:
    """`cpu` or `cuda:N` of this machine. Raises `ModelError` for one that cannot render."""
    device = torch.device(name)
    if device.type == "cuda":
        _check_cuda(name, device.index or 0)
        _check_capability(device, CAPABILITY_MIN, "the model's bfloat16", "use another card")
    return device


def check_profile(device: torch.device, profile: Profile) -> None:
    """Raise `ModelError` where a device lacks the arithmetic of a profile."""
    if device.type == "cuda":
        remedy = "use the profile fast or exact" if profile.lossy else "use another card"
        what = f"the profile {profile.name}"
        _check_capability(device, profile.capability_min, what, remedy)
    elif profile.arithmetic == "float8":
        raise ModelError(
            f"the profile {profile.name} needs a GPU: a CPU has no products in FP8; use the profile"
            " fast or exact"
        )


def _check_cuda(name: str, index: int) -> None:
    version = torch.__version__
    if torch.version.cuda is None:
        raise ModelError(
            f"{name}: torch {version} is built for CPUs; install the one of"
            " requirements/cuda.lock, or name --device cpu; `farm-node doctor` examines the machine"
        )
    if not torch.cuda.is_available():
        raise ModelError(
            f"{name}: {_driver()}, and torch {version} needs one that serves CUDA"
            f" {torch.version.cuda}: install the newest driver (nvidia.com/drivers), or a torch for"
            " an older CUDA; `farm-node doctor` examines the machine"
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise ModelError(
            f"{name}: torch {version} sees {count} CUDA device(s) here; name one of them, or"
            " --device cpu"
        )


def _check_capability(device: torch.device, least: tuple[int, int], what: str, remedy: str) -> None:
    has = torch.cuda.get_device_capability(device)
    if has < least:
        raise ModelError(
            f"{torch.cuda.get_device_name(device)} ({device}) has compute capability"
            f" {has[0]}.{has[1]}; {what} needs {least[0]}.{least[1]} ({CARDS[least]}): {remedy}"
        )


def _driver() -> str:
    """What there is of a driver, for a person."""
    try:
        nvml = SystemNvml()
    except NvmlUnavailable as error:
        return f"the driver does not work ({error})" if error.installed else "there is no driver"
    cuda = nvml.cuda_version()
    serves = f", which serves CUDA {cuda[0]}.{cuda[1]} at most" if cuda else ""
    return f"the driver is {nvml.driver_version() or 'of an unknown version'}{serves}"
