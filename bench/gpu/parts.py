"""Where a chunk's time goes: kernels by what they do, copies, and when nothing is at work.

PyTorch's profiler records kernels with the call that launched each; what is launched while the
VAE's decoder runs is the VAE's. On a CPU its outermost operators stand in for kernels.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from node_agent.files import write_atomic
from node_agent.render.bench.figures import Record

VAE: Final = "vae"
COPIES: Final = "copies"
PARTS: Final = ("matmul", "attention", "elementwise", VAE, COPIES)

_ATTENTION = re.compile(r"flash|fmha|attention|attn|sdpa|sage|qk_int", re.IGNORECASE)
_MATMUL = re.compile(
    r"gemm|gemv|nvjet|cutlass|matmul|imma|xmma|splitk|cublas|conv|triton_tem"
    r"|::(linear|addmm|mm|bmm|_int_mm|_scaled_mm)$",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"memcpy (htod|dtoh)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was at work."""

    part: str
    began: float
    """Seconds, of the profiler's clock."""
    ended: float
    event: Any
    """As the profiler tells it."""


class Profile:
    """Profiles what happens within its `with` block, which should be one round."""

    def __init__(self, device: torch.device, vaes: Iterable[nn.Module]) -> None:
        """`vaes` are the models whose `decoder` is the VAE's part."""
        self._device = device
        self._decoders = [vae.get_submodule("decoder") for vae in vaes]
        activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._profile: Any = profile(activities=activities)
        self.seconds = 0.0
        self.spans: list[Span] = []

    def __enter__(self) -> Self:
        self._marks = _marked(self._decoders)
        self._marks.__enter__()
        self._wait()
        self._profile.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wait()
        self.seconds = time.perf_counter() - self._began
        self._profile.__exit__(kind, error, trace)
        self._marks.__exit__(kind, error, trace)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(path))
            self.spans = spans(json.loads(path.read_text())["traceEvents"])

    def record(self) -> Record:
        """Seconds of each part, and shares of the time in which nothing was at work."""
        return breakdown(self.spans, self.seconds)

    def write(self, path: Path) -> None:
        """What was at work, as a trace for chrome://tracing or Perfetto."""
        kept = ("ph", "cat", "name", "pid", "tid", "ts", "dur")
        events = [{key: span.event[key] for key in kept} for span in self.spans]
        for event, span in zip(events, self.spans, strict=True):
            event["args"] = {"part": span.part}
        write_atomic(path, gzip.compress(json.dumps({"traceEvents": events}).encode(), mtime=0))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def breakdown(spans: Sequence[Span], seconds: float) -> Record:
    """Seconds of each part; of `seconds` in all, the shares in which no kernel was at work.

    `idle_share` is that of no kernel, `waiting_share` what of it copies were under way in.
    """
    sums = dict.fromkeys(PARTS, 0.0)
    for span in spans:
        sums[span.part] += span.ended - span.began
    kernels = union(span for span in spans if span.part != COPIES)
    either = union(spans)
    return {
        "seconds": seconds,
        **{f"{part}_seconds": sums[part] for part in PARTS},
        "idle_share": max(0.0, 1 - kernels / seconds),
        "waiting_share": (either - kernels) / seconds,
    }


def union(spans: Iterable[Span]) -> float:
    """Seconds in which at least one of them was at work."""
    total, end = 0.0, 0.0
    for span in sorted(spans, key=lambda each: each.began):
        total += max(0.0, span.ended - max(span.began, end))
        end = max(end, span.ended)
    return total


def spans(events: Sequence[Any]) -> list[Span]:
    """What was at work, from a trace's events."""
    done = [event for event in events if event.get("ph") == "X"]
    decoding = [
        event for event in done if event["name"] == VAE and event["cat"] == "user_annotation"
    ]
    device = [e for e in done if e["cat"] in ("kernel", "gpu_memcpy", "gpu_memset")]
    if not device:
        return [_span(event, event, decoding) for event in _outermost(done)]
    launches = {
        event["args"]["correlation"]: event
        for event in done
        if event["cat"] in ("cuda_runtime", "cuda_driver")
    }
    return [_span(e, launches.get(e["args"]["correlation"], e), decoding) for e in device]


def part_of(name: str) -> str:
    """What a kernel or an operator does, by its name."""
    if _BETWEEN.search(name):
        return COPIES
    if name.startswith("triton_") and not name.startswith("triton_tem"):
        return "elementwise"  # named after all that was fused
    if _ATTENTION.search(name):
        return "attention"
    return "matmul" if _MATMUL.search(name) else "elementwise"


def _span(event: Any, launch: Any, decoding: Sequence[Any]) -> Span:
    part = part_of(event["name"])
    if part != COPIES and any(_within(launch, each) for each in decoding):
        part = VAE
    return Span(part, event["ts"] / 1e6, (event["ts"] + event["dur"]) / 1e6, event)


def _within(event: Any, other: Any) -> bool:
    return bool(
        event["tid"] == other["tid"] and other["ts"] <= event["ts"] < other["ts"] + other["dur"]
    )


def _outermost(events: Sequence[Any]) -> Iterator[Any]:
    """Operators of a CPU that no other has called."""
    ends: dict[Any, float] = {}
    for event in sorted(events, key=lambda each: (each["ts"], -each["dur"])):
        if event["cat"] == "cpu_op" and event["ts"] >= ends.get(event["tid"], 0.0):
            ends[event["tid"]] = event["ts"] + event["dur"]
            yield event


@contextmanager
def _marked(decoders: Sequence[nn.Module]) -> Iterator[None]:
    """Calls of these are ranges in the trace."""
    open_ranges: list[Any] = []

    def before(_module: nn.Module, _inputs: Any) -> None:
        open_ranges.append(record_function(VAE))
        open_ranges[-1].__enter__()

    def after(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        open_ranges.pop().__exit__(None, None, None)

    hooks: list[Any] = []
    for decoder in decoders:
        hooks += [
            decoder.register_forward_pre_hook(before),
            decoder.register_forward_hook(after),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
