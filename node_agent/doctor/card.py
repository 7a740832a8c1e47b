"""Checks of the driver and of each card."""

from __future__ import annotations

from dataclasses import dataclass, field

from node_agent.doctor import needs
from node_agent.doctor.finding import Finding, State, bad, gigabytes, good, unknown, warning
from node_agent.render.profiles import EXACT, FAST
from node_agent.telemetry import Identity, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """NVIDIA's driver."""

    installed: bool
    problem: str = ""
    """Why it cannot be used."""
    version: str | None = None
    """`580.95.05`."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that it serves."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One card, idle or not."""

    identity: Identity
    sample: Sample = field(default_factory=Sample)


def check_driver(facts: DriverFacts, *, require_gpu: bool = False) -> Finding:
    """There is a driver, and it serves the CUDA that PyTorch is locked to."""
    wanted = f"driver {needs.DRIVER_MIN} or later"
    if not facts.installed:
        return Finding(
            name="driver",
            state=State.BAD if require_gpu else State.WARNING,
            what="there is no NVIDIA driver",
            remedy=f"with an NVIDIA card, install {wanted}; without one, the machine can "
            "coordinate and serve CPU cards (rehearsal)",
        )
    if facts.problem:
        return bad(
            "driver",
            f"the driver is installed and does not answer: {facts.problem}",
            f"restart the machine; if that does not help, install {wanted} again",
        )
    if facts.cuda is None:
        said = f"driver {facts.version}" if facts.version else "the driver"
        return unknown("driver", f"{said} does not say which CUDA it serves", f"install {wanted}")
    what = f"driver {facts.version or '?'}, CUDA {facts.cuda[0]}.{facts.cuda[1]}"
    if facts.cuda[0] < needs.CUDA_MIN[0]:
        return bad("driver", f"{what}: PyTorch needs CUDA {needs.CUDA_MIN[0]}", f"install {wanted}")
    return good("driver", what)


def check_no_card(*, require_gpu: bool) -> Finding:
    """What it means that there is no card."""
    return Finding(
        name="card",
        state=State.BAD if require_gpu else State.WARNING,
        what="there is no NVIDIA card that can be used",
        remedy="the machine can coordinate and serve CPU cards (rehearsal); to render at speed, "
        "add a card of compute capability 8.0 or more (RTX 30 and later)",
    )


def check_card(facts: CardFacts) -> Finding:
    """The card computes in bfloat16."""
    identity = facts.identity
    name, label = _name("card", facts), identity.name or identity.uuid
    if identity.compute_capability is None:
        return unknown(name, f"{label} does not tell its compute capability", "update the driver")
    major, minor = identity.compute_capability
    what = f"{label}, compute capability {major}.{minor}"
    if (major, minor) < needs.CAPABILITY_MIN:
        return bad(name, f"{what}: bfloat16 needs 8.0", "use a card of RTX 30 or later")
    return good(name, what)


def check_vram(facts: CardFacts) -> Finding:
    """The card has memory for a profile, and others have left it."""
    name = _name("VRAM", facts)
    total, used = _vram(facts), facts.sample.vram_used_bytes
    if total is None:
        return unknown(name, "the card does not tell its memory", "update the driver")
    free = total if used is None else total - used
    what = f"{gigabytes(total)}, {'?' if used is None else gigabytes(free)} free"
    least = f"the smallest profile needs {gigabytes(needs.VRAM_MIN)}"
    if total < needs.VRAM_MIN:
        return bad(name, f"{what}: {least}", "use a card with 8 GB or more; 16 GB is comfortable")
    if free < needs.VRAM_MIN:
        return bad(
            name,
            f"{what}: other programs leave too little; {least}",
            "end them (`nvidia-smi` lists them), or drive the display with another card",
        )
    exact, fast = (needs.placed(profile.name, free) for profile in (EXACT, FAST))
    if not exact.streamed:
        return good(name, f"{what}: all weights stay on the card")
    blocks = len(exact.sizes.blocks)
    what += f": exact keeps {exact.resident} of {blocks} blocks on the card, fast {fast.resident}"
    if not fast.resident:
        return warning(
            name, what, "expect less speed: free memory of the card, or use one of 8 GB or more"
        )
    return good(name, what)


def check_link(facts: CardFacts) -> Finding:
    """The card's slot is as wide and as fast as the card, and streams weights in time."""
    name, sample = _name("PCIe", facts), facts.sample
    width, generation = sample.pcie_width, sample.pcie_generation_max
    if width is None or generation not in needs.LANE_BYTES_PER_SECOND:
        return unknown(name, "the card does not tell its link", "see `lspci -vv`: LnkSta")
    rate = needs.LANE_BYTES_PER_SECOND[generation] * width * needs.LINK_EFFICIENCY
    plan = needs.placed(EXACT.name, _vram(facts) or 0)
    what = (
        f"generation {_of(sample.pcie_generation, generation)}, "
        f"{_of(width, sample.pcie_width_max)} lanes: about {rate / 1e9:.0f} GB/s"
    )
    if not plan.streamed:
        return good(name, f"{what}; the card holds all weights, nothing is streamed")
    what += f", {plan.bytes_streamed / rate:.1f} s for what exact streams in a pass"
    if rate < needs.LINK_MIN:
        return bad(
            name, what, "put the card into a slot with 8 lanes or more; no riser of one lane"
        )
    if sample.pcie_width_max is not None and width < sample.pcie_width_max:
        return warning(
            name, what, "the card could use more lanes: seat it anew, or use another slot"
        )
    if rate < needs.LINK_GOOD:
        return warning(name, what, "streaming sets the pace: a faster slot, or the profile fast")
    return good(name, what)


def _vram(facts: CardFacts) -> int | None:
    """All of the card's memory, bytes."""
    return facts.sample.vram_total_bytes or facts.identity.vram_bytes


def _of(now: int | None, highest: int | None) -> str:
    """`1 of 4`, or one number where they are equal or one of them is not known."""
    if now is None or highest is None or now == highest:
        return str(highest if now is None else now)
    return f"{now} of {highest}"


def _name(what: str, facts: CardFacts) -> str:
    return f"{what} {facts.identity.index}"
