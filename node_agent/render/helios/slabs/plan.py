"""Which blocks stay on the device and which are streamed, decided before anything is loaded.

Pure arithmetic. In every pass all streamed blocks travel once, so as many blocks stay as the budget
of GPU memory holds. They are spread evenly among the streamed ones: between two copies there is
always the same work, and the stream has never to catch up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from node_agent.models import ModelError

SLOTS = 2
"""One block at work and one on its way. With even work more cannot hide more; a third one evens out
copies that take unequally long."""

WORKING_BYTES = 4 << 30
"""GPU memory that a chunk at 640x384 takes beside the weights: activations of the largest stage
and the VAE's decode. Estimated from the shapes; not measured yet."""

RAM_RESERVE_BYTES = 3 << 30
"""Host memory that stays free for the system, the encoder and the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bytes of a transformer's weights."""

    fixed: int
    """Outside the blocks; always on the device."""
    blocks: tuple[int, ...]
    """Each block's slab, without what a prompt meets."""
    prompt: int
    """What a prompt meets once: on the device where all else is, or else on the host."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.fixed + sum(self.blocks) + self.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes that may be used, and what of them is not for weights."""

    vram: int
    ram: int
    working: int = 0
    """Of `vram`: what a chunk takes beside the weights."""
    reserve: int = 0
    """Of `ram`: what is left to the system and to all else."""


@dataclass(frozen=True)
class Plan:
    """Where every block lives."""

    sizes: Sizes
    streamed: tuple[int, ...]
    """Numbers of the blocks that travel, in order."""
    slots: int
    """Blocks that have room on the device at a time, beside the resident ones."""
    prompt_resident: bool

    @property
    def resident(self) -> int:
        """How many blocks stay on the device."""
        return len(self.sizes.blocks) - len(self.streamed)

    @cached_property
    def slot_bytes(self) -> int:
        """Of one slot: the largest block that travels."""
        return max((self.sizes.blocks[number] for number in self.streamed), default=0)

    @cached_property
    def bytes_streamed(self) -> int:
        """Of the blocks that travel, together."""
        return sum(self.sizes.blocks[number] for number in self.streamed)

    @cached_property
    def vram_bytes(self) -> int:
        """What the weights take on the device."""
        prompt = self.sizes.prompt if self.prompt_resident else 0
        staying = self.sizes.fixed + sum(self.sizes.blocks) - self.bytes_streamed + prompt
        return staying + self.slots * self.slot_bytes

    @cached_property
    def ram_bytes(self) -> int:
        """What the weights take on the host; while they are loaded one tensor more."""
        return self.bytes_streamed + (0 if self.prompt_resident else self.sizes.prompt)


def plan(sizes: Sizes, budget: Budget, *, slots: int = SLOTS, least: bool = False) -> Plan:
    """The plan with the most blocks on the device that the budget allows, or with the `least`.

    Raises `ModelError`, with the numbers and what to do, when none fits.
    """
    plans = list(_plans(sizes, slots))
    if least:
        plans.reverse()
    for each in plans:
        if _fits_vram(each, budget) and _fits_ram(each, budget):
            return each
    raise ModelError(_refusal(plans, budget))


def resident(sizes: Sizes) -> Plan:
    """All on the device, whatever the budget."""
    return Plan(sizes, (), 0, prompt_resident=True)


def smallest(sizes: Sizes, *, slots: int = SLOTS) -> Plan:
    """The plan that takes the least of the device, whatever the budget."""
    return min(_plans(sizes, slots), key=lambda each: each.vram_bytes)


def spread(streamed: int, blocks: int) -> tuple[int, ...]:
    """Numbers of `streamed` blocks out of `blocks`, as evenly as can be, also across the end."""
    return tuple(turn * blocks // streamed for turn in range(streamed))


def travellers(blocks: Sequence[int], streamed: int) -> tuple[int, ...]:
    """Numbers of `streamed` blocks out of those of these sizes, in order.

    Blocks of the least size go first: a larger one widens every slot, and holds up those after it.
    """
    small = [number for number, size in enumerate(blocks) if size == min(blocks)]
    if streamed <= len(small):
        return tuple(small[turn] for turn in spread(streamed, len(small)))
    large = [number for number in range(len(blocks)) if number not in small]
    more = spread(streamed - len(small), len(large))
    return tuple(sorted([*small, *(large[turn] for turn in more)]))


def _plans(sizes: Sizes, slots: int) -> Iterator[Plan]:
    """Every plan there is, from all on the device to nothing that could travel."""
    yield resident(sizes)
    blocks = len(sizes.blocks)
    for streamed in range(blocks + 1):
        numbers = travellers(sizes.blocks, streamed)
        yield Plan(sizes, numbers, min(slots, streamed), prompt_resident=False)


def _fits_vram(each: Plan, budget: Budget) -> bool:
    return each.vram_bytes + budget.working <= budget.vram


def _fits_ram(each: Plan, budget: Budget) -> bool:
    return not each.ram_bytes or each.ram_bytes + budget.reserve <= budget.ram


def _refusal(plans: list[Plan], budget: Budget) -> str:
    """Why no plan fits."""
    smallest = min(plans, key=lambda each: each.vram_bytes)
    what = f"the transformer ({smallest.sizes.total / 1e9:.1f} GB) does not fit"
    possible = [each for each in plans if _fits_vram(each, budget)]
    if not possible:
        return (
            f"{what}: with {len(smallest.streamed)} of {len(smallest.sizes.blocks)} blocks streamed"
            f" through {smallest.slots} slots it needs"
            f" {(smallest.vram_bytes + budget.working) / 1e9:.1f} GB of GPU memory,"
            f" {budget.working / 1e9:.1f} GB of it to work in; {budget.vram / 1e9:.1f} GB are there"
            " for it; close what else uses the card, allow more (--vram), or use a larger card"
        )
    closest = min(possible, key=lambda each: each.ram_bytes)
    return (
        f"{what}: {len(closest.streamed)} of {len(closest.sizes.blocks)} blocks have no room on the"
        f" card, and they need {(closest.ram_bytes + budget.reserve) / 1e9:.1f} GB of host RAM,"
        f" {budget.reserve / 1e9:.1f} GB of it for all else; {budget.ram / 1e9:.1f} GB are there"
        " for it; close what else uses the memory, allow more of either (--ram, --vram), or use a"
        " larger machine"
    )
