"""The machine, the card and the versions that a record speaks of."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psutil
import pynvml
import torch

from node_agent.render.bench.figures import Record
from node_agent.telemetry import card_type


def card(device: torch.device) -> Record:
    """What renders."""
    if device.type != "cuda":
        return {"kind": "cpu", "type": card_type(None), "name": _processor()}
    properties = torch.cuda.get_device_properties(device)
    about: Record = {
        "kind": "cuda",
        "type": card_type(properties.name),
        "name": properties.name,
        "bytes_vram_total": torch.cuda.mem_get_info(device)[1],
        "compute_capability": f"{properties.major}.{properties.minor}",
    }
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        about["driver"] = pynvml.nvmlSystemGetDriverVersion()
    return about


def host() -> Record:
    """What it sits in."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bytes_ram_total": psutil.virtual_memory().total,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Of what decides speed."""
    known = {name: version(name) for name in ("torch", "diffusers", "transformers", "av")}
    known["python"] = platform.python_version()
    if torch.version.cuda is not None:
        known["cuda"] = torch.version.cuda
    return known


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()
