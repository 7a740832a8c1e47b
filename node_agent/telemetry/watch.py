"""Watches one card about once a second, in a thread of its own: a driver that hangs holds up
nobody, and what it told last grows old and is absent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psutil

from node_agent.telemetry.meter import EnergyMeter
from node_agent.telemetry.nvml import Nvml, find_nvml
from node_agent.telemetry.sample import Identity, Sample
from node_agent.telemetry.visible import nvml_index

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAMPLES: Final = 1.0
STALE_SECONDS: Final = 15.0
"""Readings older than this are not shown: the driver has stopped answering."""
GAP_SECONDS_MAX: Final = 10.0
"""Throttling is counted over steps up to this; over longer ones nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSenses:
    """What an agent tells of its card and host; None where nothing is known."""

    identity: Identity | None = None
    sample: Sample = field(default_factory=Sample)
    energy_joules: float | None = None
    """Since the watch began."""
    energy_method: str | None = None
    """`counter` or `sampled`."""
    throttled_seconds: float | None = None
    """Slowed down by heat or a lack of power, since the watch began."""
    host_ram_used_bytes: int | None = None
    host_ram_bytes: int | None = None


class CardWatch:
    """The senses of one card, as they were within the last second or two."""

    def __init__(
        self,
        device: str,
        *,
        nvml: Nvml | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`nvml` is the machine's own by default, looked for where the device is a GPU."""
        self._device = device
        self._nvml = nvml
        self._clock = clock
        self._closed = threading.Event()
        self._latest = CardSenses()
        self._at = clock()
        self._throttled: float | None = None
        self._looked = False
        self._identity: Identity | None = None
        self._meter: EnergyMeter | None = None

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="card-watch", daemon=True).start()

    def close(self) -> None:
        """Watch no more; does not wait for a driver that hangs."""
        self._closed.set()

    def latest(self) -> CardSenses:
        """What was seen last; only what the card *is* when that was long ago."""
        if self._clock() - self._at > STALE_SECONDS:
            return CardSenses(identity=self._identity)
        return self._latest

    def look(self) -> None:
        """Take one sample."""
        if not self._looked:
            self._find()
        sample = Sample()
        if self._nvml is not None and self._identity is not None:
            sample = self._nvml.sample(self._identity.index)
        meter, now, memory = self._meter, self._clock(), psutil.virtual_memory()
        self._count_throttled(sample, now - self._at)
        self._latest = CardSenses(
            identity=self._identity,
            sample=sample,
            energy_joules=meter.read() if meter else None,
            energy_method=meter.method if meter else None,
            throttled_seconds=self._throttled,
            host_ram_used_bytes=memory.total - memory.available,
            host_ram_bytes=memory.total,
        )
        self._at = now

    def _find(self) -> None:
        self._looked = True
        if self._device.startswith("cuda"):
            self._nvml = self._nvml or find_nvml()
        if self._nvml is None:
            return
        cards = self._nvml.cards()
        index = nvml_index(self._device, cards)
        self._identity = next((card for card in cards if card.index == index), None)
        if self._identity is not None:
            self._meter = EnergyMeter.for_device(self._device, nvml=self._nvml)

    def _count_throttled(self, sample: Sample, seconds: float) -> None:
        if sample.throttled is not None:
            step = seconds if sample.throttled and seconds <= GAP_SECONDS_MAX else 0.0
            self._throttled = (self._throttled or 0.0) + step

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self.look()
                self._closed.wait(SECONDS_BETWEEN_SAMPLES)
        except Exception:  # the card renders on, unseen
            logger.exception("the card's telemetry broke")
        finally:
            if self._meter is not None:
                self._meter.close()
