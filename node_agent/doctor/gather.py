"""Looks at this machine: the thin layer under the checks. Nothing here judges."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

import node_agent
from node_agent.doctor.card import CardFacts, DriverFacts
from node_agent.doctor.host import ClockFacts, DiskFacts, GroupFacts, LimitFacts, MemoryFacts
from node_agent.doctor.stack import EncoderFacts, ModelFacts, TorchFacts
from node_agent.models import ModelError, load_manifest, verify
from node_agent.telemetry import Nvml, NvmlUnavailable, SystemNvml

PROBE_SECONDS_MAX: Final = 180.0
"""The first import of torch from a cold disk takes a minute."""

DISK_PROBE_BYTES: Final = 64 << 20

_UNLIMITED: Final = 1 << 60
"""Version 1 of control groups says no limit by a number near 2^63."""

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the clock is not synchronised."""


def driver_and_cards(
    open_nvml: Callable[[], Nvml] = SystemNvml,
) -> tuple[DriverFacts, tuple[CardFacts, ...]]:
    """The driver, and the cards that it knows."""
    try:
        nvml = open_nvml()
    except NvmlUnavailable as error:
        return DriverFacts(installed=error.installed, problem=str(error)), ()
    driver = DriverFacts(installed=True, version=nvml.driver_version(), cuda=nvml.cuda_version())
    return driver, tuple(CardFacts(card, nvml.sample(card.index)) for card in nvml.cards())


def memory() -> MemoryFacts:
    """The host's memory."""
    found = psutil.virtual_memory()
    return MemoryFacts(total=found.total, available=found.available)


def group(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> GroupFacts | None:
    """The tightest memory limit above this process; None where it cannot be read."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None
    limits: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += _limits(root, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "memory", path, "memory.limit_in_bytes")
    return GroupFacts(min(limits, default=None))


def _limits(root: Path, path: str, name: str) -> list[int]:
    """Limits of a group and of all above it; a container may see only its own, as the root."""
    found = []
    place = root / path.lstrip("/")
    for folder in [place, *place.parents]:
        if not folder.is_relative_to(root):
            break
        with suppress(OSError, ValueError):  # ValueError: "max"
            found.append(int((folder / name).read_text()))
    return [limit for limit in found if limit < _UNLIMITED]


def limit(kind: int) -> LimitFacts:
    """A resource limit, as `resource.RLIMIT_NOFILE`."""
    soft, _ = resource.getrlimit(kind)
    return LimitFacts(None if soft == resource.RLIM_INFINITY else soft)


def clock() -> ClockFacts:
    """The clock, and whether the kernel holds it for synchronised."""
    installed = Path(node_agent.__file__).stat().st_mtime
    return ClockFacts(now=time.time(), not_before=installed, synchronised=_synchronised())


def _synchronised() -> bool | None:
    """adjtimex(2) with no mode set only reads; its struct is 208 bytes on 64-bit Linux."""
    with suppress(OSError, AttributeError):
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
        return None if state < 0 else state != _TIME_ERROR
    return None


def disk(spool: Path) -> DiskFacts:
    """Room and speed of the disk that `spool` is or would be on; leaves nothing behind."""
    folder = next(each for each in [spool, *spool.parents] if each.exists())
    if not folder.is_dir():
        return DiskFacts(path=str(spool), problem=f"{folder} is no folder")
    block = os.urandom(1 << 20)
    try:
        free = shutil.disk_usage(folder).free
        if free < 2 * DISK_PROBE_BYTES:
            return DiskFacts(path=str(spool), free=free)
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            for _ in range(DISK_PROBE_BYTES // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            seconds = time.perf_counter() - began
    except OSError as error:
        return DiskFacts(path=str(spool), problem=f"nothing can be written ({error.strerror})")
    return DiskFacts(path=str(spool), free=free, bytes_per_second=DISK_PROBE_BYTES / seconds)


def torch(seconds_max: float = PROBE_SECONDS_MAX) -> TorchFacts | None:
    """What PyTorch says of itself; None when it does not answer in time."""
    command = [sys.executable, "-P", "-m", "node_agent.render.probe"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds_max, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        said = json.loads(answer.stdout)
    except ValueError:
        last = (answer.stderr.strip().splitlines() or ["no word of why"])[-1]
        return TorchFacts(problem=f"it ended with exit code {answer.returncode}: {last}")
    return TorchFacts(
        version=said["version"],
        cuda_build=said["cuda_build"],
        devices=tuple(said["devices"]),
        problem=said["problem"],
    )


def encoder() -> EncoderFacts:
    """Encode a small chunk, as a card does."""
    try:
        import numpy as np

        from node_agent.encode import encode_segment, h264_encoder
        from node_agent.render.renderer import CHUNK_FRAMES

        frames = np.zeros((CHUNK_FRAMES, 64, 64, 3), dtype=np.uint8)
        frames[:, :, :32] = np.arange(CHUNK_FRAMES, dtype=np.uint8)[:, None, None, None]
        began = time.perf_counter()
        segment = encode_segment(frames, start_frame=0, fps=24)
    except (ImportError, OSError, ValueError) as error:  # av's own errors are of these kinds
        return EncoderFacts(problem=f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - began
    size = len(segment.init) + len(segment.media)
    return EncoderFacts(encoder=h264_encoder(), seconds=seconds, size=size)


def model(directory: Path, stamps: Path | None) -> ModelFacts:
    """Hold a model against its manifest; unchanged files of earlier looks are not read again."""
    try:
        problems = tuple(map(str, verify(directory, stamps=stamps)))
        manifest = load_manifest(directory)
    except (ModelError, OSError) as error:
        return ModelFacts(directory=str(directory), problems=(str(error),))
    return ModelFacts(
        directory=str(directory), name=manifest.name, digest=manifest.digest, problems=problems
    )
