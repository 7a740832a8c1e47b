"""Checks of the machine around the cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from node_agent.doctor import needs
from node_agent.doctor.finding import Finding, bad, gigabytes, good, unknown, warning
from node_agent.render.helios.slabs.plan import RAM_RESERVE_BYTES
from node_agent.render.profiles import EXACT, FAST

SPOOL_BYTES_MIN = 1_000_000_000
SPOOL_BYTES_GOOD = 10_000_000_000
SPOOL_BYTES_PER_SECOND_GOOD = 20_000_000
OPEN_FILES_MIN = 256
OPEN_FILES_GOOD = 4096


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Memory of the host, in bytes."""

    total: int
    available: int


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What the control group of this process may use."""

    limit: int | None
    """Bytes; None is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The disk under the spool."""

    path: str
    free: int = 0
    """Bytes."""
    bytes_per_second: float | None = None
    """Of a write that was synced."""
    problem: str = ""
    """Why nothing can be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """The system's clock."""

    now: float
    """Seconds since 1970."""
    not_before: float
    """A moment that has certainly passed: when this program was installed."""
    synchronised: bool | None
    """With the network's time; None where the kernel does not say."""


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """A resource limit of this process."""

    soft: int | None
    """None is no limit."""


def check_ram(facts: MemoryFacts | None, cards: Sequence[int]) -> Finding:
    """The host holds what its cards stream; `cards` are their bytes of memory, 0 is not known."""
    name = "host RAM"
    if facts is None:
        return unknown(name, "the size of the memory cannot be read")
    least, full = needs.host_ram(FAST.name, cards), needs.host_ram(EXACT.name, cards)
    what = f"{gigabytes(facts.total)}, {gigabytes(facts.available)} available{_takes(cards)}"
    if facts.total < least:
        exact = f" ({gigabytes(full)} for exact)" if full > least else ""
        return bad(name, what, f"add memory, to {gigabytes(least)} or more{exact}")
    if facts.available < least:
        return warning(
            name,
            f"{what}; other programs use too much",
            "end them before cards start, or the kernel will end the render",
        )
    if facts.total < full:
        return warning(
            name, f"{what}; only fast fits", f"for exact add memory, to {gigabytes(full)} or more"
        )
    if facts.available < full:
        return warning(
            name, f"{what}; now only fast fits", "for exact end the programs that use the memory"
        )
    return good(name, what)


def check_group(facts: GroupFacts | None, cards: Sequence[int]) -> Finding:
    """No container or service limit takes away what the host has."""
    name = "memory limit"
    if facts is None:
        return unknown(name, "the control group's memory limit cannot be read")
    if facts.limit is None:
        return good(name, "none: the host's memory is all there to use")
    least, full = needs.host_ram(FAST.name, cards), needs.host_ram(EXACT.name, cards)
    what = f"this process and its children may use {gigabytes(facts.limit)}{_takes(cards)}"
    remedy = f"raise the limit of the container or service to {gigabytes(full)}"
    if facts.limit < least:
        return bad(name, f"{what}; {gigabytes(least)} are needed", remedy)
    if facts.limit < full:
        return warning(name, f"{what}; only fast fits", remedy)
    return good(name, what)


def _takes(cards: Sequence[int]) -> str:
    """What the profiles take of the host, for a person; "" without cards."""
    if not cards:
        return ""
    exact, fast = (needs.weights_on_host(each.name, cards) for each in (EXACT, FAST))
    weights = "all weights stay on the card"
    if exact:
        plan = needs.placed(EXACT.name, cards[0])
        blocks = f"streams {len(plan.streamed)} of {len(plan.sizes.blocks)} blocks and "
        one = len(cards) == 1
        weights = (
            f"exact {blocks if one else ''}takes {gigabytes(exact + RAM_RESERVE_BYTES)}"
            f"{'' if one else f' for {len(cards)} cards'},"
            f" fast {gigabytes(fast + RAM_RESERVE_BYTES) if fast else 'none'}"
        )
    return f": {weights}; the text encoder, by itself, {gigabytes(needs.HOST_RAM_ENCODER)}"


def check_disk(facts: DiskFacts | None) -> Finding:
    """The spool has room, and its disk is not what one waits for."""
    if facts is None:
        return unknown("spool", "no spool was examined", "name its folder: --spool DIR")
    if facts.problem:
        return bad(
            "spool", f"{facts.path}: {facts.problem}", "name a folder on a disk: --spool DIR"
        )
    speed = facts.bytes_per_second
    pace = "speed unknown" if speed is None else f"{speed / 1e6:.0f} MB/s written and synced"
    what = f"{facts.path}: {gigabytes(facts.free)} free, {pace}"
    if facts.free < SPOOL_BYTES_MIN:
        return bad("spool", what, f"make room: {gigabytes(SPOOL_BYTES_MIN)} at least")
    if facts.free < SPOOL_BYTES_GOOD:
        return warning(
            "spool", what, "make room: takes wait here while the object store is not reached"
        )
    if speed is None:
        return unknown("spool", what)
    if speed < SPOOL_BYTES_PER_SECOND_GOOD:
        return warning("spool", what, "a chunk waits for this disk: use an SSD, no network share")
    return good("spool", what)


def check_clock(facts: ClockFacts) -> Finding:
    """The clock is about right: presigned URLs live for minutes, certificates have dates."""
    when = datetime.fromtimestamp(facts.now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    remedy = "switch on time synchronisation: `timedatectl set-ntp true`"
    if facts.now < facts.not_before:
        return bad("clock", f"{when} lies before this program was installed", remedy)
    if facts.synchronised is None:
        return unknown("clock", f"{when}; whether it is synchronised, the kernel does not say")
    if not facts.synchronised:
        return warning("clock", f"{when}, not synchronised with the network's time", remedy)
    return good("clock", f"{when}, synchronised")


def check_locked_memory(facts: LimitFacts | None, cards: Sequence[int]) -> Finding:
    """Pinned memory, which weights are streamed from, is not limited, for each card."""
    name = "locked memory"
    if facts is None:
        return unknown(name, "the limit cannot be read")
    if facts.soft is None:
        return good(name, "no limit")
    what = f"limited to {facts.soft / 1e6:.1f} MB"
    pinned = max((needs.weights_on_host(EXACT.name, [vram]) for vram in cards), default=0)
    if not pinned:
        return good(name, f"{what}; nothing here pins memory")
    if facts.soft >= pinned:
        return good(name, what)
    return warning(
        name,
        f"{what}; streaming pins up to {gigabytes(pinned)}. CUDA pins through its driver, which"
        " most kernels do not count against this limit",
        "if pinning fails: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the service",
    )


def check_open_files(facts: LimitFacts | None) -> Finding:
    """There are file descriptors for Ray, uploads and render children."""
    name = "open files"
    if facts is None:
        return unknown(name, "the limit cannot be read")
    what = "no limit" if facts.soft is None else f"{facts.soft} at most"
    remedy = f"`ulimit -n {OPEN_FILES_GOOD}`, or LimitNOFILE={OPEN_FILES_GOOD} in the service"
    if facts.soft is not None and facts.soft < OPEN_FILES_MIN:
        return bad(name, what, remedy)
    if facts.soft is not None and facts.soft < OPEN_FILES_GOOD:
        return warning(name, f"{what}: a node with several cards may need more", remedy)
    return good(name, what)
