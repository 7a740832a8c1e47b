"""The real load and the real watch: Helios on a card, and NVML beside it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from node_agent.burnin.errors import BurnInError
from node_agent.burnin.golden import ChunkResult, Origin, golden_spec
from node_agent.burnin.loop import TimedSample
from node_agent.render.profiles import stack_with
from node_agent.telemetry import Identity, Nvml, Sample, nvml_index
from node_agent.telemetry.visible import CUDA_DEVICE_ORDER


class HeliosLoad:
    """Renders the golden chunk, again and again."""

    def __init__(
        self,
        directory: Path,
        device: str,
        stamps: Path,
        width: int,
        height: int,
        profile: str | None = None,
    ) -> None:
        """Verify and load the model, for a profile or the best that fits.

        Raises `ModelError`, or `BurnInError` for the device.
        """
        os.environ.setdefault("CUDA_DEVICE_ORDER", CUDA_DEVICE_ORDER)
        from node_agent.render.helios.renderer import HeliosRenderer  # torch: only here

        try:
            self._renderer = HeliosRenderer(
                directory, device=device, stamps=stamps, profile=profile
            )
        except (AssertionError, RuntimeError) as error:  # torch's words for a device it cannot use
            raise BurnInError(
                f"{device}: the model cannot be loaded ({error}); `farm-node doctor` says more"
            ) from error
        self._spec = golden_spec(width, height)
        self.origin = Origin(
            model_digest=self._renderer.model_digest,
            stack_id=stack_with(self._renderer.stack_id, self._renderer.profiles[0]),
            size=f"{width}x{height}",
        )

    def __call__(self) -> ChunkResult:
        """Render the chunk. Raises `PromptError` for a size that the model cannot do."""
        began = time.perf_counter()
        clip = self._renderer.start(self._spec)
        (pending,) = self._renderer.step([clip], lambda _clip: False)
        assert pending is not None, "nothing cancels it"
        chunk = pending.wait()
        return ChunkResult(chunk.frames, time.perf_counter() - began)


def card_of(device: str, nvml: Nvml | None) -> Identity | None:
    """The card that a device is; None for a CPU, and where it cannot be told."""
    cards = nvml.cards() if nvml else ()
    index = nvml_index(device, cards)
    return next((card for card in cards if card.index == index), None)


class Sampler:
    """Takes samples in a thread of its own, for as long as the process lives."""

    def __init__(self, read: Callable[[], Sample], seconds: float) -> None:
        """`seconds` lie between two samples."""
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._taken: list[TimedSample] = []
        self.latest = Sample()
        threading.Thread(target=self._run, name="burn-in-samples", daemon=True).start()

    def drain(self) -> Sequence[TimedSample]:
        """See `loop.Watch`."""
        with self._lock:
            taken, self._taken = self._taken, []
            return taken

    def _run(self) -> None:
        while True:
            self.latest = self._read()
            with self._lock:
                self._taken.append(TimedSample(time.monotonic(), self.latest))
            time.sleep(self._seconds)


class Blind:
    """A watch of a card that tells nothing: a CPU."""

    latest = Sample()

    def drain(self) -> Sequence[TimedSample]:
        """See `loop.Watch`."""
        return ()
