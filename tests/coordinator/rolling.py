"""Cards that heed their outfit, by hand: releases on their nodes, a golden chunk, an agent anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground

OLD, NEW = "0.1.0", "0.2.0"
STACKS = {OLD: "torch-2.13,exact", NEW: "torch-2.14,exact"}


@dataclass
class RollingCard:
    """A card with its node: what an agent and the placement do between exchanges."""

    ground: Ground
    card_id: str
    release: str = OLD
    releases: tuple[str, ...] = (NEW,)
    """Installed beside the node's own, which is the first that it ran."""
    stacks: dict[str, str] = field(default_factory=lambda: dict(STACKS))
    psnr_db: float | None = 51.5
    """Of the golden chunk with another release."""
    passes: dict[str, bool] = field(default_factory=dict)
    """Releases with which it does not pass, as False."""
    broken: frozenset[str] = frozenset()
    """Releases whose agent never speaks."""
    digest: str = ""
    holding: node_pb.ModelHolding | None = None
    more: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = self.release
        self.starts = 0
        self.examined: node_pb.Examination | None = None
        self.silent = False
        self.response = node_pb.ExchangeResponse()
        self._begin()

    def _begin(self) -> None:
        """Another agent."""
        self.starts += 1
        self.examined = None
        self.ready_for = ""
        self.voice = CardVoice(
            self.ground.coordinator, self.card_id, f"{self.card_id}-{self.starts}", capacity=1
        )

    @property
    def view(self) -> types_pb.Card:
        found = {card.card_id: card for card in self.ground.coordinator.fleet()[1]}
        return found.get(self.card_id, types_pb.Card())

    @property
    def clips(self) -> list[str]:
        return self.voice.clips

    def python(self, release: str) -> str:
        return "" if release == self.own else f"/opt/{release}/bin/python"

    def place(self) -> None:
        """Start the agent anew where another interpreter is wanted, as the placement does."""
        wanted = self.view.python_wanted
        if wanted == self.python(self.release):
            return
        coordinator = self.ground.coordinator
        coordinator.lost(self.card_id, self.voice.incarnation, "its agent is made anew")
        releases = {self.python(each): each for each in (*self.releases, self.own)}
        self.release = releases[wanted]
        self._begin()

    def say(self, *outbox: node_pb.OutboxEntry) -> node_pb.ExchangeResponse:
        """Exchange once, and heed the outfit."""
        self.voice.coordinator = self.ground.coordinator
        stack = self.stacks[self.release]
        self.voice.report = {
            "condition": "ready",
            "hostname": self.card_id,
            "stack_id": stack,
            "model_digest": self.digest,
            "release": self.release,
            "releases": [
                node_pb.Release(version=each, python=self.python(each)) for each in self.releases
            ],
            "ready_for": self.ready_for,
            "examination": self.examined,
            "holding": self.holding,
            **self.more,
        }
        response = self.response = self.voice.say(*outbox)
        idle = not self.voice.held
        outfit = response.outfit
        if idle and outfit.release not in ("", self.release):
            self.ready_for = outfit.release
        has = self.holding is not None and self.holding.complete
        if idle and has and outfit.model_digest not in ("", self.digest):
            self.digest = outfit.model_digest
        if response.examine and (self.examined is None or self.examined.number != response.examine):
            self.examined = self.examination(response.examine)
        return response

    def examination(self, number: int) -> node_pb.Examination:
        passed = self.passes.get(self.release, True)
        other = self.release != self.own
        same = not other or self.psnr_db is None
        return node_pb.Examination(
            number=number,
            passed=passed,
            detail="golden chunk seen" if passed else "golden chunk differs: 12.0 dB",
            stack_id=self.stacks[self.release],
            psnr_db=None if same else self.psnr_db,
            equal=same,
        )

    def live(self) -> None:
        """A second of its life: what the placement does, and an exchange unless it is silent."""
        self.place()
        if not self.silent and self.release not in self.broken:
            self.say()

    def finish(self) -> None:
        """Render all that it holds to its end."""
        for key in list(self.voice.held):
            clip = self.ground.clip(key[0])
            self.voice.render(key, clip.chunks, clip.chunks_done)
        self.say()

    def chunk(self) -> None:
        """Render the next chunk of what it holds."""
        for key in list(self.voice.held):
            clip = self.ground.clip(key[0])
            self.say(self.voice.chunk(key, clip.chunks_done))


def fleet_of(ground: Ground, number: int, **more: object) -> list[RollingCard]:
    cards = [RollingCard(ground, f"card-{n}", **more) for n in range(number)]  # type: ignore[arg-type]
    pass_time(ground, cards, 1)
    return cards


def begin(ground: Ground, target: str = NEW, **more: object) -> int:
    kind = more.pop("kind", fleet_pb.ROLLOUT_KIND_RELEASE)
    return ground.decide(
        fleet_pb.StartRolloutRequest(kind=kind, target=target, by="ann", **more)  # type: ignore[arg-type]
    )


def accept(ground: Ground, number: int = 0) -> None:
    decision = fleet_pb.DecideRolloutRequest.DECISION_ACCEPT
    ground.decide(fleet_pb.DecideRolloutRequest(number=number, decision=decision, by="ann"))


def back(ground: Ground, number: int = 0) -> None:
    decision = fleet_pb.DecideRolloutRequest.DECISION_BACK
    ground.decide(fleet_pb.DecideRolloutRequest(number=number, decision=decision, by="bob"))


def pass_time(ground: Ground, cards: list[RollingCard], seconds: int, step: float = 1.0) -> None:
    for _ in range(seconds):
        for card in cards:
            card.live()
        ground.tick(step)


def state(ground: Ground, number: int = 1) -> str:
    return {each.number: each for each in ground.coordinator.store.rollouts()}[number].state


def reason(ground: Ground, number: int = 1) -> str:
    return {each.number: each for each in ground.coordinator.store.rollouts()}[number].reason


def steps(ground: Ground, number: int = 1) -> dict[str, str]:
    """Card → its step."""
    return {c.card_id: c.step.value for c in ground.coordinator.store.rollout_cards(number)}


def runs(cards: list[RollingCard]) -> list[str]:
    return [card.release for card in cards]
