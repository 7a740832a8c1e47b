"""All findings of a machine, and the command that comes next on the way to a first clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node_agent.doctor.card import (
    CardFacts,
    DriverFacts,
    check_card,
    check_driver,
    check_link,
    check_no_card,
    check_vram,
)
from node_agent.doctor.finding import Finding, State
from node_agent.doctor.host import (
    ClockFacts,
    DiskFacts,
    GroupFacts,
    LimitFacts,
    MemoryFacts,
    check_clock,
    check_disk,
    check_group,
    check_locked_memory,
    check_open_files,
    check_ram,
)
from node_agent.doctor.stack import (
    INSTALL_CUDA,
    EncoderFacts,
    ModelFacts,
    NetworkFacts,
    TorchFacts,
    check_encoder,
    check_model,
    check_network,
    check_torch,
)

HUB = "BestWishYsh/Helios-Distilled"
"""Where the model of a first clip comes from: its authors' repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was seen of a machine; None where it could not be, or was not asked."""

    driver: DriverFacts
    cards: tuple[CardFacts, ...] = ()
    memory: MemoryFacts | None = None
    group: GroupFacts | None = None
    locked_memory: LimitFacts | None = None
    open_files: LimitFacts | None = None
    clock: ClockFacts
    disk: DiskFacts | None = None
    torch: TorchFacts | None = None
    encoder: EncoderFacts | None = None
    model: ModelFacts | None = None
    network: NetworkFacts | None = None
    require_gpu: bool = field(default=False)

    @property
    def vram_bytes(self) -> tuple[int, ...]:
        """Of each card; 0 where it does not tell."""
        return tuple(card.identity.vram_bytes or 0 for card in self.cards)


def examine(facts: Facts) -> list[Finding]:
    """Every finding, in the order in which things have to be put right."""
    vram = facts.vram_bytes
    cards = [check(card) for card in facts.cards for check in (check_card, check_vram, check_link)]
    return [
        check_driver(facts.driver, require_gpu=facts.require_gpu),
        *(cards or [check_no_card(require_gpu=facts.require_gpu)]),
        check_ram(facts.memory, vram),
        check_group(facts.group, vram),
        check_locked_memory(facts.locked_memory, vram),
        check_open_files(facts.open_files),
        check_clock(facts.clock),
        check_disk(facts.disk),
        check_torch(facts.torch, len(facts.cards)),
        check_encoder(facts.encoder),
        check_model(facts.model),
        check_network(facts.network),
    ]


def next_step(facts: Facts, findings: Sequence[Finding]) -> str:
    """What comes next on the way to a first clip: a command, or what has to be mended first."""
    torch, model = facts.torch, facts.model
    for finding in findings:
        if finding.state is State.BAD and finding.name not in ("PyTorch", "model"):
            return f"mend {finding.name}: {finding.remedy}"
    if facts.cards and torch is not None and torch.version and torch.cuda_build is None:
        return INSTALL_CUDA
    for finding in findings:
        if finding.state is State.BAD and finding.name == "PyTorch":
            return finding.remedy
    if model is not None and model.problems:
        return f"farm-node model fetch {HUB} {model.directory}"
    if facts.network is not None:
        return "farm submit FILE"
    if not facts.cards:
        return "farm up --cpu-cards 2"
    if model is None:
        return f"farm-node model fetch {HUB}, then farm-node doctor --model DIR"
    farm = f"farm up --gpu-cards {len(facts.cards)} --model {model.directory}"
    clip = f'farm-node render "A red fox." --model {model.directory} --out fox.mp4'
    return f"{farm}, or one clip by hand: {clip}"
