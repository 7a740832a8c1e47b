"""What is known of a card: what it is, and how it is at one moment. Base units throughout."""

from __future__ import annotations

from dataclasses import dataclass

HINDRANCES = frozenset(
    {"hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"}
)
"""Reasons that mean a fault: too hot, or too little power. A card under full load at its power
limit (`sw_power_cap`) is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a card is; a field is None where the card does not say."""

    index: int
    """NVML's: the order of PCI addresses."""
    uuid: str
    """`GPU-…`: the same in every machine that the card is put into."""
    name: str | None = None
    serial: str | None = None
    """Consumer cards have none."""
    pci_address: str | None = None
    """`00000000:01:00.0`."""
    vbios: str | None = None
    vram_bytes: int | None = None
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A card at one moment; a field is None where the card cannot tell."""

    power_watts: float | None = None
    """Of the board; recent cards average over about a second."""
    power_limit_watts: float | None = None
    """What the board may take: the lowest of all limits that are in force."""
    energy_joules: float | None = None
    """Of the board since the driver was loaded."""
    temperature_celsius: float | None = None
    """Of the chip."""
    sm_clock_hertz: float | None = None
    sm_clock_max_hertz: float | None = None
    memory_clock_hertz: float | None = None
    throttle_reasons: frozenset[str] | None = None
    """Empty where nothing slows the card down; `gpu_idle`, `sw_power_cap`, `HINDRANCES` …"""
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None
    pcie_generation: int | None = None
    """Now: an idle card lowers it to save power."""
    pcie_generation_max: int | None = None
    """Of card and slot together."""
    pcie_width: int | None = None
    """Lanes now."""
    pcie_width_max: int | None = None
    utilization_ratio: float | None = None
    """Share of the time in which a kernel ran, 0..1."""
    fan_ratio: float | None = None
    """Of its highest speed, 0..1; more is possible."""
    xid_errors: int | None = None
    """Critical errors that the driver reported since this process first asked."""

    @property
    def throttled(self) -> bool | None:
        """Slowed down by heat or a lack of power; None where the card cannot tell."""
        if self.throttle_reasons is None:
            return None
        return bool(self.throttle_reasons & HINDRANCES)
